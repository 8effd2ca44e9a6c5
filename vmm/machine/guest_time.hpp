#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "vmm/kvm/kvm_vm.hpp"
#include "vmm/machine/state_sections.hpp"
#include "vmm/machine/vcpu.hpp"
#include "vmm/os/boot_clock.hpp"

namespace vmm {

constexpr std::uint32_t kTscMsr = 0x10;
constexpr std::uint32_t kTscDeadlineMsr = 0x6e0;

/// kvmclock and the TSCs of one machine. They go on while the guest is stopped, also while it moves
/// to another host: by what either host has measured of that, and by no host's wall clock.
class GuestTime {
 public:
  using Clock = BootClock;
  using Duration = std::chrono::nanoseconds;

  /// Saves kvmclock as "vm/clock", last of all, and makes the TSCs in the vCPUs' sections those of
  /// the same moment, so that how far the vCPUs' TSCs are apart is exact. Where the TSCs stand
  /// still while the vCPUs do, they are left as they were read.
  /// `tsc_offsets` are the vCPUs', and `first` is the first vCPU.
  void save(const KvmVm& vm, const KvmVcpu& first,
            std::span<const std::optional<std::uint64_t>> tsc_offsets, MachineState& into);
  [[nodiscard]] Duration since_save() const { return Clock::now() - saved_; }

  /// Loads kvmclock as it was saved, first of all: it runs on from here. `as_of`: when it was
  /// saved, or later. Returns what to add to a saved TSC so that it becomes the offset that lets
  /// this TSC too run on; nullopt where KVM does not let us set offsets.
  [[nodiscard]] std::optional<std::uint64_t> load(const KvmVm& vm, const KvmVcpu& vcpu,
                                                  SectionReader& from, Clock::time_point as_of);
  /// What was loaded was saved so long ago, or longer. Of several such words, the longest counts:
  /// each leaves something out.
  void saved_before(Duration least);
  /// Adds what passed between saving and loading, once.
  void catch_up(const KvmVm& vm, std::span<const std::unique_ptr<Vcpu>> vcpus);

 private:
  Clock::time_point saved_;  ///< here, the last time
  /// Of what was loaded, until it has caught up.
  struct Loaded {
    Clock::time_point saved;  ///< or earlier
    Clock::time_point loaded;
    bool tsc_offsets;  ///< can be set
  };
  std::optional<Loaded> loaded_;
};

}  // namespace vmm
