#include "vmm/machine/vcpu.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include "vmm/os/scheduling.hpp"

namespace vmm {

namespace {

/// A throttled vCPU waits once in so long.
constexpr std::chrono::milliseconds kThrottlePeriod{10};

/// A guest waits so long for memory that the host lacks, and looks so often: nothing tells. As long
/// as pages may take to come over a slow link: room is made once the last of them is here.
constexpr std::chrono::hours kMemoryPatience{24};
constexpr std::chrono::milliseconds kMemoryPoll{10};

/// The throttle timer has gone off in this thread since it was last looked at; it may do so outside
/// KVM_RUN too.
thread_local volatile std::sig_atomic_t throttle_due = 0;

/// The signal is there to end KVM_RUN; the handler only notes whether the timer sent it.
void install_kick_handler() {
  static const int result = [] {
    struct sigaction action {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      if (info->si_code == SI_TIMER) throttle_due = 1;
    };
    return ::sigaction(kick_signal(), &action, nullptr);
  }();
  if (result < 0) throw std::system_error(errno, std::generic_category(), "sigaction");
}

/// A timer that kicks the calling thread; not armed yet.
timer_t make_kick_timer() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kick_signal();
  event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
  timer_t timer{};
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) < 0) {
    throw std::system_error(errno, std::generic_category(), "timer_create");
  }
  return timer;
}

/// How the start of a vCPU's thread goes.
struct VcpuStart {
  Mutex mutex;
  Condition changed;
  bool over FERRY_GUARDED_BY(mutex) = false;
  std::exception_ptr failure FERRY_GUARDED_BY(mutex);
};

}  // namespace

Vcpu::Vcpu(const Kvm& kvm, const KvmVm& vm, std::uint32_t index, Host host)
    : index_(index), host_(std::move(host)), kvm_(kvm, vm, index) {
  install_kick_handler();
  VcpuStart start;
  const auto body = [&, this] {
    bool made = false;
    {
      const Lock lock(start.mutex);
      try {
        throttle_timer_ = make_kick_timer();
        made = true;
      } catch (const std::system_error&) {
        start.failure = std::current_exception();
      }
      start.over = true;
      start.changed.notify_one();
    }
    if (made) thread_main();
  };
  const auto escaped = [this](const std::exception_ptr&) { crash("its thread failed"); };
  thread_ = Thread(ThreadRole::vcpu, body, escaped, index);
  Lock lock(start.mutex);
  start.changed.wait(lock, [&]() FERRY_REQUIRES(start.mutex) { return start.over; });
  if (!start.failure) return;
  thread_.join();
  std::rethrow_exception(start.failure);
}

Vcpu::~Vcpu() {
  retire();
  join();
  ::timer_delete(throttle_timer_);
}

void Vcpu::join() {
  if (thread_.joinable()) thread_.join();
}

void Vcpu::set_immediate_exit(bool on) {
  std::atomic_ref(kvm_.shared().immediate_exit).store(on ? 1 : 0, std::memory_order_seq_cst);
}

void Vcpu::request_pause() {
  const Lock lock(mutex_);
  wanted_ = false;
  kicked_ = true;
  // Before the signal: one that arrives just ahead of KVM_RUN would else be lost.
  set_immediate_exit(true);
  changed_.notify_all();
  if (state_ == State::running) ::pthread_kill(thread_.native_handle(), kick_signal());
}

void Vcpu::wait_paused() {
  Lock lock(mutex_);
  changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return state_ != State::running; });
}

bool Vcpu::wait_paused(std::chrono::steady_clock::time_point deadline) {
  Lock lock(mutex_);
  return changed_.wait_until(lock, deadline,
                             [this]() FERRY_REQUIRES(mutex_) { return state_ != State::running; });
}

bool Vcpu::stopped() const {
  const Lock lock(mutex_);
  return state_ != State::running;
}

void Vcpu::retire() {
  {
    const Lock lock(mutex_);
    leaving_ = true;
  }
  request_pause();
}

void Vcpu::request_resume() {
  {
    const Lock lock(mutex_);
    if (state_ == State::finished) return;
    wanted_ = true;
    kicked_ = false;
    set_immediate_exit(false);
  }
  changed_.notify_all();
}

void Vcpu::wait_running() {
  Lock lock(mutex_);
  changed_.wait(lock,
                [this]() FERRY_REQUIRES(mutex_) { return state_ != State::paused || !wanted_; });
}

void Vcpu::begin_errand(const std::function<void()>& errand) {
  {
    const Lock lock(mutex_);
    errand_ = &errand;
  }
  changed_.notify_all();
}

void Vcpu::end_errand() {
  Lock lock(mutex_);
  errand_ = nullptr;
  changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return !on_errand_; });
}

void Vcpu::throttle(unsigned percent) {
  throttle_ = std::min(percent, 99U);
  itimerspec spec{};
  if (percent != 0) {
    spec.it_interval.tv_nsec = std::chrono::nanoseconds(kThrottlePeriod).count();
    spec.it_value = spec.it_interval;
  }
  if (::timer_settime(throttle_timer_, 0, &spec, nullptr) < 0) {
    throw std::system_error(errno, std::generic_category(), "timer_settime");
  }
}

void Vcpu::thread_main() {
  wake_promptly();
  while (wait_resumed()) {
    try {
      kvm_.note_stopped();
      if (run()) complete_instruction();
    } catch (const std::exception& error) {
      if (!leaving_) crash(error.what());
    }
  }
}

bool Vcpu::wait_resumed() {
  Lock lock(mutex_);
  state_ = crashed_ ? State::finished : State::paused;
  changed_.notify_all();
  const auto resumed = [this]()
                           FERRY_REQUIRES(mutex_) { return wanted_ && state_ == State::paused; };
  while (!leaving_ && !resumed()) {
    changed_.wait(lock, [&, this]() FERRY_REQUIRES(mutex_) {
      return leaving_ || errand_ != nullptr || resumed();
    });
    const auto* const errand = std::exchange(errand_, nullptr);
    if (errand == nullptr) continue;
    on_errand_ = true;
    lock.unlock();
    (*errand)();
    lock.lock();
    on_errand_ = false;
    changed_.notify_all();
  }
  if (leaving_) return false;
  state_ = State::running;
  // A pause that was taken back before the thread got here has left it set.
  set_immediate_exit(false);
  changed_.notify_all();
  return true;
}

bool Vcpu::run() {
  starving_since_.reset();
  bool half_done = false;
  while (!kicked_ && !crashed_) {
    half_done = enter();
    if (throttle_due != 0) wait_throttled();
  }
  return half_done;
}

bool Vcpu::enter() {
  const int outcome = kvm_.run();
  if (outcome == EFAULT) wait_for_memory();
  // Else a signal, or EAGAIN: woken by a start-up IPI.
  if (outcome != 0) return false;
  starving_since_.reset();
  // A guest that was waiting for a page may have been given a wrong one.
  if (leaving_) return false;
  serve_exit();
  return true;
}

/// A port or MMIO exit leaves its instruction half done; KVM finishes it on the next KVM_RUN, and
/// only then may registers be read. With immediate_exit set it does no more than that.
void Vcpu::complete_instruction() {
  set_immediate_exit(true);
  while (!crashed_ && enter()) {
  }
}

void Vcpu::wait_throttled() {
  throttle_due = 0;
  const unsigned percent = throttle_;
  if (percent == 0) return;
  Lock lock(mutex_);
  changed_.wait_for(lock, kThrottlePeriod * percent / 100, [this] { return kicked_.load(); });
}

/// The file system that the RAM is on is full, say. Whoever can mend that does while the guest
/// waits, and then the instruction is done again; a KVM in software does not return meanwhile.
void Vcpu::wait_for_memory() {
  const auto now = std::chrono::steady_clock::now();
  if (!starving_since_) starving_since_ = now;
  if (now - *starving_since_ > kMemoryPatience) {
    return crash("the host has no memory for what the guest touches, at " + where());
  }
  Lock lock(mutex_);
  changed_.wait_for(lock, kMemoryPoll, [this] { return kicked_.load(); });
}

}  // namespace vmm
