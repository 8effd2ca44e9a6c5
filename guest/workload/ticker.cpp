#include "guest/workload/ticker.hpp"

#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kLetters = 26;
constexpr std::uint64_t kBlock = 4 * kLetters;

}  // namespace

Ticker::Ticker(std::uint64_t period_ms)
    : period_(period_ms == 0 ? 0 : milliseconds(period_ms)),
      due_(period_ms == 0 ? kNever : read_tsc()) {}

std::uint64_t Ticker::step(std::uint64_t now) {
  block_completed_ = false;
  if (now < due_) return due_;
  print_tick(static_cast<char>('a' + ticks_ % kLetters));
  ++ticks_;
  block_completed_ = ticks_ % kBlock == 0;
  due_ += period_;
  if (due_ < now) due_ = now + period_;
  return due_;
}

}  // namespace guest
