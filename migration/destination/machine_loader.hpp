#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "migration/pages/verify.hpp"
#include "vmm/machine/machine.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration::destination {

/// What has to come before a machine can be loaded, and its loading. With `verify` what is here is
/// compared with what the source has. From load() on, until it goes, the guest waits for each step
/// of its thread.
class MachineLoader {
 public:
  using PageWrites = vmm::Machine::PageWrites;

  MachineLoader(vmm::Machine& machine, bool verify, PageWrites writes)
      : machine_(machine), verify_(verify), writes_(writes) {}

  [[nodiscard]] bool has_state() const { return state_.has_value(); }
  void set_state(vmm::MachineState state) { state_ = std::move(state); }
  [[nodiscard]] bool knows_last_round() const { return last_round_.has_value(); }
  void set_last_round(std::uint32_t round) { last_round_ = round; }
  /// Of pages; one that does not agree is remembered. ProtocolError when they were told before.
  void check(const wire::Digests& digests);

  /// Whether the last round has landed, when the one in progress is `round`.
  [[nodiscard]] bool has_ram(std::uint32_t round) const {
    return last_round_ && round > *last_round_;
  }
  /// The same, and the state has come.
  [[nodiscard]] bool has_all(std::uint32_t round) const { return state_ && has_ram(round); }

  // Once all is here, in this order. Both return a difference to what the source has, if there is
  // one.

  /// For `verify` alone. `missing`: pages that are not here yet.
  [[nodiscard]] std::optional<std::string> compare_ram(const vmm::PageSet* missing);
  /// After the last page is in place: KVM itself writes guest pages when it takes over kvmclock.
  /// Throws what Machine::load does. With `verify` alone differences are looked for.
  [[nodiscard]] std::optional<std::string> load();

  [[nodiscard]] bool verifies() const { return verify_; }
  /// How long that took.
  [[nodiscard]] double restore_ms() const { return restore_ms_; }

 private:
  RamVerifier& verifier();

  vmm::Machine& machine_;
  const bool verify_;
  const PageWrites writes_;
  std::optional<vmm::MachineState> state_;
  std::optional<std::uint32_t> last_round_;
  std::optional<RamVerifier> verifier_;
  std::optional<vmm::WakesFirst> first_;
  double restore_ms_ = 0;
};

}  // namespace migration::destination
