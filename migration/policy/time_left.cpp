#include "migration/policy/time_left.hpp"

#include <algorithm>

namespace migration {

namespace {

/// How fast pages go is looked at over so long.
constexpr std::chrono::milliseconds kRateWindow{500};
constexpr unsigned kMostForeseen = 100;  // rounds

}  // namespace

void TimeLeft::measure(Time now, std::uint64_t gone) {
  if (!begun_ || gone < gone_then_) {
    begun_ = true;
    sample_began_ = now;
    gone_then_ = gone;
    return;
  }
  if (now - sample_began_ < kRateWindow) return;
  const double rate = static_cast<double>(gone - gone_then_) /
                      std::chrono::duration<double>(now - sample_began_).count();
  pages_per_second_ = pages_per_second_ == 0 ? rate : (pages_per_second_ + rate) / 2;
  sample_began_ = now;
  gone_then_ = gone;
}

void TimeLeft::tell_none() {
  begun_ = false;
  seconds_.reset();
}

void TimeLeft::tell(Time now, std::uint64_t all, std::uint64_t gone,
                    const std::optional<ConvergenceInput>& after) {
  measure(now, gone);
  seconds_.reset();
  if (pages_per_second_ < 1) return;
  seconds_ = static_cast<double>(all - std::min(all, gone)) / pages_per_second_;
  if (after) *seconds_ += seconds_after_round(static_cast<double>(all) / pages_per_second_, *after);
}

double seconds_after_round(double seconds, ConvergenceInput input) {
  double sum = 0;
  const unsigned last = input.rounds + kMostForeseen;
  for (;;) {
    ++input.rounds;
    input.remaining_bytes = input.dirty_bytes_per_second * seconds;
    // Of a guest that writes more than is sent: not for ever longer, as RAM has an end.
    seconds = std::min(seconds, input.remaining_bytes / input.bytes_per_second);
    sum += seconds;
    const Step step = decide(input).step;
    if (step == Step::stop || step == Step::post_copy || input.rounds >= last) break;
  }
  return sum + input.fixed_seconds;
}

}  // namespace migration
