#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>

#include "vmm/kvm/kvm_vcpu.hpp"
#include "vmm/machine/bus.hpp"
#include "vmm/machine/guest_end.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace vmm {

/// A vCPU: a thread around KVM_RUN, and a run-state machine.
///
///            resume              the guest ends
///   paused <--------> running -------------------> finished
///            pause
///
/// Born paused. While it is not running, and only then, its registers may be read and set: from the
/// thread that drives the machine, or in an errand that another vCPU's thread does for that.
class Vcpu {
 public:
  struct Host {
    const Bus& ports;
    const Bus& mmio;
    std::function<void(GuestEnd)> end;
    std::function<void()> reset;                ///< as Machine::reset
    std::function<bool()> linux_has_shut_down;  ///< as its interrupt controllers tell
  };

  Vcpu(const Kvm& kvm, const KvmVm& vm, std::uint32_t index, Host host);
  /// Stops and joins the thread.
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  /// Asks, and does not wait: several vCPUs stop together. Any thread, the vCPU's own too.
  void request_pause();
  /// Returns once it does not run. An instruction that was half way through an exit is complete.
  void wait_paused();
  /// The same until `deadline`; whether it stopped. One that has not waits in the kernel, for a
  /// page or for a device, or for a CPU. It begins no instruction any more, and stops when that
  /// comes; until then its registers are out of reach. Linux ends the wait of an emulated access
  /// for a page of a Userfault by no signal: it tries again and again, until the page is there.
  [[nodiscard]] bool wait_paused(std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] bool stopped() const;
  /// Asks, as request_pause() does. It tells the guest that it was stopped, so that the guest's
  /// watchdogs do not take that for a hang.
  void request_resume();
  /// Returns once its thread is on the way into KVM_RUN, or at once when it has finished.
  void wait_running();

  /// Its thread calls `errand`, which throws nothing, while it does not run.
  void begin_errand(const std::function<void()>& errand);
  /// Takes an errand back that has not begun; otherwise returns once it is over.
  void end_errand();

  /// For good, and does not wait: nothing that the guest does from now on reaches the host.
  void retire();
  /// After retire(): returns once its thread is over. What other threads may do with a vCPU is
  /// sound until it is destroyed.
  void join();

  /// Runs only (100 - percent) % of the time; 0 ends that.
  void throttle(unsigned percent);

  /// While not running.
  [[nodiscard]] KvmVcpu& kvm() { return kvm_; }
  [[nodiscard]] kvm_regs regs() const { return kvm_.regs(); }
  void set_regs(const kvm_regs& regs) { kvm_.set_regs(regs); }
  [[nodiscard]] kvm_sregs sregs() const { return kvm_.sregs(); }
  void set_sregs(const kvm_sregs& sregs) { kvm_.set_sregs(sregs); }

 private:
  enum class State { paused, running, finished };

  void thread_main();
  /// Waits to be resumed, and does errands. False when the vCPU is to go.
  bool wait_resumed();
  /// Until it is kicked. Whether its last instruction is half done.
  bool run();
  /// Runs the guest up to an exit and serves it. False when it came back without one.
  bool enter();
  void serve_exit();
  void serve_port(const kvm_run& run);
  void serve_mmio(kvm_run& run);
  void complete_instruction();
  void wait_throttled();
  void wait_for_memory();
  void set_immediate_exit(bool on);
  void triple_fault();
  void crash(std::string message);
  [[nodiscard]] std::string where();

  const std::uint32_t index_;
  Host host_;
  KvmVcpu kvm_;

  mutable Mutex mutex_;
  Condition changed_;
  State state_ FERRY_GUARDED_BY(mutex_) = State::paused;
  bool wanted_ FERRY_GUARDED_BY(mutex_) = false;                            ///< to run
  const std::function<void()>* errand_ FERRY_GUARDED_BY(mutex_) = nullptr;  ///< not begun
  bool on_errand_ FERRY_GUARDED_BY(mutex_) = false;
  std::atomic<bool> leaving_ = false;
  std::atomic<bool> kicked_ = false;
  std::atomic<bool> crashed_ = false;  ///< or as good as
  std::atomic<unsigned> throttle_ = 0;
  /// The host has had no memory for the guest since then; only the vCPU's thread uses it.
  std::optional<std::chrono::steady_clock::time_point> starving_since_;
  timer_t throttle_timer_{};
  Thread thread_;
};

}  // namespace vmm
