#include "ferry/change_feed.hpp"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <utility>

#include "ferry/say.hpp"

namespace ferry {

using migration::DestinationMigration;

namespace {

/// The keeper hears so often of what the guest has changed.
constexpr std::chrono::seconds kTellChanges{1};

}  // namespace

ChangeFeed::ChangeFeed(boost::asio::io_context& context, const VmOfProcess& vm)
    : vm_(vm), next_(context) {}

void ChangeFeed::start(const DestinationMigration::KeptAtSource& handover,
                       DestinationMigration& to) {
  to_ = &to;
  tracker_.emplace(handover.token, handover.key, vm_.machine()->memory().page_count());
  wait();
}

void ChangeFeed::stop() { to_ = nullptr; }

void ChangeFeed::wait() {
  next_.expires_after(kTellChanges);
  next_.async_wait([this](boost::system::error_code cancelled) {
    vmm::Machine* machine = vm_.machine();
    if (cancelled || to_ == nullptr || machine == nullptr || !machine->dirty_log().active()) return;
    try {
      if (to_->image_keeper_listens()) tell_news();
    } catch (const std::exception& error) {
      // The VM runs on, and its return finds out what has changed.
      return say(fmt::format("the keeper of the image is told no more: {}", error.what()));
    }
    wait();
  });
}

void ChangeFeed::tell_news() {
  vmm::Machine& machine = *vm_.machine();
  auto news = tracker_->news(machine.dirty_log(), machine.memory());
  if (!news.empty()) to_->tell_changed(std::move(news));
}

void ChangeFeed::tell_all() {
  if (tracker_) tracker_->tell_all();
}

void ChangeFeed::dropped(const std::vector<vmm::PageRange>& pages) {
  if (tracker_) tracker_->dropped(pages);
}

std::optional<migration::MigrateOptions::TrackedSince> ChangeFeed::tracked_since() const {
  vmm::Machine* machine = vm_.machine();
  if (!tracker_ || machine == nullptr || !machine->dirty_log().active()) return std::nullopt;
  return migration::MigrateOptions::TrackedSince{tracker_->token(), tracker_->changed()};
}

}  // namespace ferry
