#include "guest/workload/timer_watch.hpp"

#include "guest/cpu/lapic.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {

TimerWatch::TimerWatch(Processor& cpu, std::uint64_t hz)
    : cpu_(cpu), hz_(hz), period_(hz == 0 ? 0 : tsc_khz() * 1000 / hz), last_(read_tsc()) {
  if (hz_ == 0) return;
  lapic_tick(hz_);
  open_window();
}

void TimerWatch::open_window() {
  window_time_ = 0;
  window_count_ = cpu_.timer_count;
}

void TimerWatch::step(std::uint64_t now) {
  if (hz_ == 0) return;
  // KVM delivers one interrupt for all periods that passed while the vCPU did not run, so a gap
  // between two looks counts as one period at most.
  const std::uint64_t gap = now - last_;
  const std::uint64_t watched = gap < period_ ? gap : period_;
  last_ = now;
  window_time_ += watched;
  carry_ += watched;
  cpu_.progress.timer_expected += carry_ / period_;
  carry_ %= period_;

  if (window_time_ < milliseconds(1000)) return;
  const std::uint64_t expected = window_time_ / period_;
  const std::uint64_t allowed_loss = expected / 5 + hz_ / 4 + 1;
  const std::uint64_t count = cpu_.timer_count - window_count_;
  if (count + allowed_loss < expected) {
    fail(ExitCode::timer_error,
         Line() << "timer vcpu=" << cpu_.id << " count=" << count << " expected=" << expected);
  }
  if (cpu_.id == 0) check_others();
  open_window();
}

void TimerWatch::check_others() {
  constexpr int kPatience = 4;  // windows of a second: a busy host may starve a vCPU for a while
  if (++windows_ % kPatience != 0) return;
  for (std::uint32_t id = 1; id < processors_up(); ++id) {
    const std::uint64_t count = processor(id).timer_count;
    if (count != 0 && count == others_[id]) {
      fail(ExitCode::timer_error,
           Line() << "timer vcpu=" << std::uint64_t{id} << " count=" << count << " stopped");
    }
    others_[id] = count;
  }
}

}  // namespace guest
