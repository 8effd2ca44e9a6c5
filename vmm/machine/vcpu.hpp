#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>
#include <thread>

#include "vmm/kvm/kvm_vcpu.hpp"
#include "vmm/machine/bus.hpp"
#include "vmm/machine/guest_end.hpp"

namespace vmm {

/// A vCPU: a thread around KVM_RUN, and a run-state machine.
///
///            resume              the guest ends
///   paused <--------> running -------------------> finished
///            pause
///
/// Born paused. While it is not running, and only then, its registers may be read and set from the
/// thread that drives the machine.
class Vcpu {
 public:
  struct Host {
    const Bus& ports;
    const Bus& mmio;
    std::function<void(GuestEnd)> end;
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
  /// Returns once its thread is on the way into KVM_RUN, or at once when it has finished.
  void resume();

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
  /// Waits to be resumed. False when the vCPU is to go.
  bool wait_resumed();
  void run();
  void serve_exit();
  void serve_port(const kvm_run& run);
  void serve_mmio(kvm_run& run);
  void complete_instruction();
  void wait_throttled();
  void set_immediate_exit(bool on);
  void crash(std::string message);
  [[nodiscard]] std::string where();

  const std::uint32_t index_;
  Host host_;
  KvmVcpu kvm_;

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::paused;
  bool wanted_ = false;  ///< to run
  bool leaving_ = false;
  std::atomic<bool> kicked_ = false;
  std::atomic<bool> crashed_ = false;
  std::atomic<unsigned> throttle_ = 0;
  timer_t throttle_timer_{};
  std::thread thread_;
};

}  // namespace vmm
