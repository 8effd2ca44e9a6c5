#include "migration/destination/awaited_word.hpp"

#include <utility>

#include "vmm/os/boot_clock.hpp"

namespace migration::destination {

namespace {

/// The word is looked for so often in a timeout.
constexpr int kLooksInTimeout = 4;

handover::AwakeWatch::Time since_boot() { return vmm::BootClock::now().time_since_epoch(); }

}  // namespace

AwaitedWord::AwaitedWord(boost::asio::io_context& context, Callbacks callbacks)
    : callbacks_(std::move(callbacks)), look_(context) {}

void AwaitedWord::await(std::chrono::milliseconds timeout, std::chrono::milliseconds silence) {
  silence_ = silence;
  awake_.emplace(silence, since_boot());
  due_ = Clock::now() + timeout;
  look_later();
}

void AwaitedWord::look_later() {
  look_.expires_after(silence_ / kLooksInTimeout);
  look_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !callbacks_.awaited()) return;
    if (Clock::now() < due_) return look_later();
    callbacks_.overdue();
  });
}

bool AwaitedWord::stood_still() { return awake_ && awake_->gap(since_boot()); }

}  // namespace migration::destination
