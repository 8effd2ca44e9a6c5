#include <fmt/format.h>

#include <algorithm>

#include "vmm/ferry/say.hpp"
#include "vmm/ferry/session.hpp"

/// A VM whose source keeps its image: what the guest changes here, for the keeper to give up, and
/// for the VM's return.
namespace ferry {

namespace {

/// The keeper hears so often of what the guest has changed.
constexpr std::chrono::seconds kTellChanges{1};
/// Of so many pages at most, 64 MiB: the main thread has other things to do.
constexpr std::uint64_t kTellPages = 16384;

}  // namespace

void Session::tell_changes() {
  tell_changes_.expires_after(kTellChanges);
  tell_changes_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !incoming_ || !machine_ || !machine_->dirty_log().active()) return;
    try {
      if (incoming_->keeper_listens()) tell_news();
    } catch (const std::exception& error) {
      // The VM runs on, and its return finds out what has changed.
      return say(fmt::format("the keeper of the image is told no more: {}", error.what()));
    }
    tell_changes();
  });
}

void Session::tell_news() {
  const vmm::GuestMemory& memory = machine_->memory();
  const vmm::PageRange all{0, memory.page_count()};
  vmm::DirtyBitmap news = machine_->dirty_log().harvest();
  // A page that was given up is of no interest any more, and its writes cost the guest nothing.
  news -= tracking_->given_up;
  // Cleared before they are looked at: what is written after that is news again.
  machine_->dirty_log().clear(news, all);
  tracking_->changed |= news;
  tracking_->untold |= news;
  vmm::DirtyBitmap now(all.count);
  std::uint64_t room = kTellPages;
  for (vmm::PageRange range : tracking_->untold.ranges()) {
    range.count = std::min(range.count, room);
    now.set(range);
    room -= range.count;
    if (room == 0) break;
  }
  if (now.empty()) return;
  tracking_->untold -= now;
  incoming_->tell_changed(migration::wire::hashes_of(
      now, migration::hash_pages(memory, now, now, tracking_->since.key)));
}

/// To a keeper that has just come and knows nothing.
void Session::tell_all_changes() {
  if (!tracking_) return;
  tracking_->untold |= tracking_->changed;
  tracking_->untold -= tracking_->given_up;
}

void Session::given_up(const std::vector<vmm::PageRange>& pages) {
  if (!tracking_) return;
  for (const vmm::PageRange& range : pages) tracking_->given_up.set(range);
}

}  // namespace ferry
