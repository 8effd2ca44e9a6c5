#include <fmt/format.h>

#include <chrono>
#include <stdexcept>

#include "migration/base/elapsed.hpp"
#include "migration/destination/receiver.hpp"

/// What the destination does once all has come that the guest needs to run here.
namespace migration {

void IncomingMigration::Receiver::prepare_if_complete() {
  if (!state_ || !last_round_ || round_ <= *last_round_) return;
  if (post_copy_ && !faults_connected_) return;
  if (!post_copy_) channels_.clear();
  // RAM is compared before the state is loaded, and the state loaded after the last page is in
  // place: KVM itself writes guest pages when it takes over kvmclock.
  auto difference = verify_ram();
  const auto start = std::chrono::steady_clock::now();
  // In post-copy loading waits for pages. When these do not come it is ended by zero pages.
  loading_ = post_copy_;
  if (post_copy_ && !fetcher_->connected()) return;  // why is on its way to this thread
  try {
    if (!difference) machine_->load(*state_);
    prepared_.restore_ms = ms_since(start);
    if (offer_.verify && !difference) {
      difference = vmm::first_difference(*state_, machine_->save());
    }
  } catch (const std::exception& error) {
    const std::string why = fmt::format("the machine state cannot be loaded: {}", error.what());
    return happened(Event::load_failed, {why});
  }
  loading_ = false;
  if (post_copy_ && fetcher_->abandoned()) return;
  if (difference) return happened(Event::load_failed, {"verification failed: " + *difference});
  prepared_.verified = offer_.verify;
  prepared_.incarnation = incarnation_;
  happened(post_copy_ ? Event::loaded_lacking : Event::loaded);
}

std::optional<std::string> IncomingMigration::Receiver::verify_ram() {
  if (!offer_.verify) return std::nullopt;
  if (!verifier_) verifier_.emplace(machine_->memory());
  if (!fetcher_) return verifier_->finish(nullptr);
  // Pages that were missing are checked one by one, as they come.
  const vmm::PageSet expected = fetcher_->expected();
  return verifier_->finish(&expected);
}

}  // namespace migration
