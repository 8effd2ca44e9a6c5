#include <fmt/format.h>

#include <utility>

#include "ferry/say.hpp"
#include "ferry/session.hpp"

/// A VM whose source keeps its image: the keeper there is told what the guest changes here.
namespace ferry {

namespace {

/// The keeper hears so often of what the guest has changed.
constexpr std::chrono::seconds kTellChanges{1};

}  // namespace

void Session::tell_changes() {
  tell_changes_.expires_after(kTellChanges);
  tell_changes_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !incoming_ || !machine_ || !machine_->dirty_log().active()) return;
    try {
      if (incoming_->image_keeper_listens()) tell_news();
    } catch (const std::exception& error) {
      // The VM runs on, and its return finds out what has changed.
      return say(fmt::format("the keeper of the image is told no more: {}", error.what()));
    }
    tell_changes();
  });
}

void Session::tell_news() {
  auto news = tracker_->news(machine_->dirty_log(), machine_->memory());
  if (!news.empty()) incoming_->tell_changed(std::move(news));
}

}  // namespace ferry
