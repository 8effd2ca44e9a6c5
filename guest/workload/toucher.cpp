#include "guest/workload/toucher.hpp"

#include "guest/boot/layout.h"
#include "guest/cpu/atomic.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"
#include "guest/workload/histogram.hpp"

namespace guest {
namespace {

constexpr int kMostAtOnce = 32;
// A read that took longer, to the middle of a step, ends the step: ticks are then as late as that.
constexpr std::uint64_t kLongStepUs = 20;
constexpr std::uint64_t kIdlePollMs = 1;
// What is longer has left the machine: no cache and no page table walk takes that long.
constexpr std::uint64_t kSlowUs = 20;

/// What a vCPU measured in a pass. Written by its owner only; vCPU 0 reads all of them.
struct Measured {
  Atomic<std::uint32_t> pass;       // 0: none yet
  Atomic<std::uint32_t> done_pass;  // the last one that ended
  Histogram latencies;
  std::uint64_t first_reads = 0;
  std::uint64_t worst_delay = 0;
};

constinit Measured measured[GUEST_MAX_CPUS];
constinit Atomic<std::uint32_t> current_pass;

/// In microseconds with one decimal.
void put_us(Line& line, const char* name, std::uint64_t interval) {
  const std::uint64_t tenths = to_microseconds(interval * 10);
  line << name << tenths / 10 << "." << tenths % 10;
}

}  // namespace

Toucher::Toucher(const TouchOptions& options, PageSet& pages, PageShare share, std::uint32_t cpu,
                 std::uint32_t cpus)
    : pages_(pages),
      pattern_(options.order, share.begin, share.end - share.begin, options.hot_percent,
               options.hot_parts),
      cpu_(cpu),
      reads_per_pass_(options.endless ? 0 : share.end - share.begin),
      interval_(options.per_second == 0 ? 0 : tsc_khz() * 1000 * cpus / options.per_second) {}

void Toucher::begin_pass(std::uint32_t pass, std::uint64_t now) {
  Measured& mine = measured[cpu_];
  mine.pass.store(0);  // not to be read while it changes
  mine.latencies.clear();
  mine.first_reads = 0;
  mine.worst_delay = 0;
  mine.pass.store(pass);
  pattern_.restart();
  pass_ = pass;
  left_ = reads_per_pass_;
  due_ = now;
  busy_ = true;
}

std::uint64_t Toucher::read_one(std::uint64_t now) {
  Measured& mine = measured[cpu_];
  const std::uint64_t index = pattern_.next();
  const std::uint64_t begin = read_tsc();
  const std::uint64_t word = pages_.peek(index);
  const std::uint64_t end = read_tsc();
  pages_.check_peeked(index, word);
  mine.latencies.add(end - begin);
  if (pages_.mark(index, pass_)) ++mine.first_reads;
  const std::uint64_t delay = end > due_ ? end - due_ : 0;
  if (delay > mine.worst_delay) mine.worst_delay = delay;
  // A machine that was stopped does not make up for all of it: the reads of 100 ms at most.
  const std::uint64_t longest_debt = milliseconds(100);
  if (interval_ == 0) {
    due_ = end;
  } else {
    due_ += interval_;
    if (due_ + longest_debt < now) due_ = now - longest_debt;
  }
  return end;
}

std::uint64_t Toucher::step(std::uint64_t now) {
  const std::uint32_t pass = current_pass.load();
  if (pass != pass_) begin_pass(pass, now);
  if (!busy_) return now + milliseconds(kIdlePollMs);
  const std::uint64_t long_step = now + microseconds(kLongStepUs);
  for (int i = 0; i < kMostAtOnce && due_ <= now && now < long_step; ++i) {
    now = read_one(now);
    if (reads_per_pass_ != 0 && --left_ == 0) {
      busy_ = false;
      measured[cpu_].done_pass.store(pass_);
      break;
    }
  }
  // With a long interval, looks for a new pass meanwhile.
  const std::uint64_t poll = now + milliseconds(kIdlePollMs);
  return due_ < poll ? due_ : poll;
}

void TouchControl::begin_pass() {
  current_pass.fetch_add(1);
  told_ = false;
}

void TouchControl::step() {
  if (told_) return;
  const std::uint32_t pass = current_pass.load();
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    if (measured[cpu].done_pass.load() != pass) return;
  }
  told_ = true;
  print_pass(true);
}

void TouchControl::print_pass(bool done) const {
  static Histogram all;  // too large for the stack; vCPU 0 alone is here
  all.clear();
  std::uint64_t first_reads = 0;
  std::uint64_t worst_delay = 0;
  const std::uint32_t pass = current_pass.load();
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    const Measured& each = measured[cpu];
    if (pass == 0 || each.pass.load() != pass) continue;
    all.add(each.latencies);
    first_reads += each.first_reads;
    if (each.worst_delay > worst_delay) worst_delay = each.worst_delay;
  }
  const std::uint64_t slow = microseconds(kSlowUs);
  Line line;
  line << "touch pass=" << std::uint64_t{pass} << (done ? " done" : " so-far")
       << " reads=" << all.count() << " first=" << first_reads;
  put_us(line, " p50_us=", all.percentile(50));
  put_us(line, " p99_us=", all.percentile(99));
  put_us(line, " max_us=", all.largest());
  line << " slow=" << all.count_from(slow);
  put_us(line, " slow_p50_us=", all.percentile(50, slow));
  put_us(line, " slow_p99_us=", all.percentile(99, slow));
  put_us(line, " stall_us=", worst_delay);
  print(line);
}

}  // namespace guest
