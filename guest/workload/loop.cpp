#include "guest/workload/loop.hpp"

#include "guest/cpu/lapic.hpp"
#include "guest/cpu/optional.hpp"
#include "guest/cpu/stall.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"
#include "guest/workload/changer.hpp"
#include "guest/workload/checker.hpp"
#include "guest/workload/dirtier.hpp"
#include "guest/workload/registers.hpp"
#include "guest/workload/ticker.hpp"
#include "guest/workload/timer_watch.hpp"
#include "guest/workload/toucher.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kWalkReportMs = 250;
constexpr std::uint64_t kGreetMs = 20;
constexpr std::uint64_t kGreetForMs = 2000;

struct Totals {
  Progress sum;
  std::uint64_t timer_count = 0;
  std::uint64_t least_walks = kNever;
};

Totals total() {
  Totals totals;
  for (std::uint32_t id = 0; id < processors_up(); ++id) {
    const Processor& cpu = processor(id);
    totals.sum.writes += cpu.progress.writes;
    totals.sum.register_rounds += cpu.progress.register_rounds;
    totals.sum.timer_expected += cpu.progress.timer_expected;
    totals.timer_count += cpu.timer_count;
    if (cpu.progress.walks < totals.least_walks) totals.least_walks = cpu.progress.walks;
  }
  return totals;
}

std::uint64_t earlier(std::uint64_t one, std::uint64_t other) { return one < other ? one : other; }

class Loop {
 public:
  Loop(Processor& cpu, const Options& options, PageSet& pages, std::uint32_t sharers,
       Devices* devices, std::uint32_t greeted)
      : cpu_(cpu),
        options_(options),
        devices_(devices),
        greeted_(greeted),
        ticker_(devices == nullptr ? 0 : options.tick_ms),
        timer_watch_(cpu, options.timer_hz),
        touch_control_(sharers),
        change_control_(options, sharers),
        stall_(read_tsc()) {
    // A vCPU that came too late for the division of the pages leaves them alone.
    if (cpu.id < sharers) {
      const PageShare share = pages.share(cpu.id, sharers);
      if (options.dirty.writes_per_second != 0) {
        dirtier_.emplace(options.dirty, pages, share, sharers, cpu.progress);
      }
      if (options.touch.wanted()) {
        toucher_.emplace(options.touch, pages, share, cpu.id, sharers);
      }
      if (options.change_pages != 0) changer_.emplace(options, pages, share, cpu.id, sharers);
      if (options.check) checker_.emplace(options, pages, share, sharers, cpu.progress);
    }
    if (options.registers) registers_.emplace(cpu);
  }

  [[noreturn]] void run() {
    for (;;) {
      const std::uint64_t wakes = cpu_.wakes;
      const std::uint64_t now = read_tsc();
      stall_.look(now);
      timer_watch_.step(now);
      std::uint64_t next = kNever;
      if (dirtier_) next = earlier(next, dirtier_->step(now));
      if (toucher_) next = earlier(next, toucher_->step(now));
      if (changer_) next = earlier(next, changer_->step(now));
      if (checker_) next = earlier(next, checker_->step(now));
      if (registers_) {
        registers_->step(now);
        next = now;
      }
      if (devices_ != nullptr) next = earlier(next, step_first(now));
      sleep_until(next, wakes);
    }
  }

 private:
  /// What only vCPU 0 does.
  std::uint64_t step_first(std::uint64_t now) {
    Input& input = devices_->input;
    std::uint64_t next = input.step(now);
    if (input.end_requested()) end(now);
    if (input.take_touch_request()) touch_control_.begin_pass();
    if (input.take_report_request()) touch_control_.report();
    touch_control_.step();
    if (input.take_change_request()) change_control_.begin();
    change_control_.step();
    if (devices_->disk) next = earlier(next, devices_->disk->step(now));
    if (devices_->disk_reader) next = earlier(next, devices_->disk_reader->step(now));
    if (devices_->entropy) next = earlier(next, devices_->entropy->step(now));
    if (devices_->net) next = earlier(next, devices_->net->step(now));
    if (devices_->net_meter) next = earlier(next, devices_->net_meter->step(now));
    if (devices_->balloon) next = earlier(next, devices_->balloon->step(now));
    next = earlier(next, ticker_.step(now));
    if (ticker_.block_completed()) report_ticks(now);
    if (options_.end_after_ticks != 0 && ticker_.ticks() >= options_.end_after_ticks) end(now);
    if (options_.end_after_ms != 0) {
      const std::uint64_t deadline = start_tsc() + milliseconds(options_.end_after_ms);
      if (now >= deadline) end(now);
      next = earlier(next, deadline);
    }
    if (options_.check) next = earlier(next, report_walks(now));
    return earlier(next, greet(now));
  }

  std::uint64_t greet(std::uint64_t now) {
    greet_arrivals(greeted_);
    const bool over = now - start_tsc() > milliseconds(kGreetForMs);
    return over ? kNever : now + milliseconds(kGreetMs);
  }

  void report_ticks(std::uint64_t now) {
    Line line;
    line << "tick " << ticker_.ticks() << " time_us=" << to_microseconds(now - start_tsc())
         << " stall_us=" << to_microseconds(stall_.take_worst());
    add_totals(line);
    print(line, &stall_);
  }

  void add_totals(Line& line) const {
    const Totals totals = total();
    if (options_.timer_hz != 0) {
      line << " timer=" << totals.timer_count << "/" << totals.sum.timer_expected;
    }
    if (options_.dirty.writes_per_second != 0) line << " writes=" << totals.sum.writes;
  }

  std::uint64_t report_walks(std::uint64_t now) {
    if (now < walk_report_due_) return walk_report_due_;
    const std::uint64_t walks = total().least_walks;
    if (walk_report_due_ != 0 && walks != reported_walks_) {
      print(Line() << "check walks=" << walks);
      reported_walks_ = walks;
    }
    walk_report_due_ = now + milliseconds(kWalkReportMs);
    return walk_report_due_;
  }

  [[noreturn]] void end(std::uint64_t now) {
    Line line;
    line << "end ticks=" << ticker_.ticks() << " time_us=" << to_microseconds(now - start_tsc());
    add_totals(line);
    if (options_.check) line << " walks=" << total().least_walks;
    if (options_.registers) line << " regs=" << total().sum.register_rounds;
    if (options_.echo) line << " got=" << devices_->input.count();
    if (devices_->disk) {
      line << " disk=" << devices_->disk->writes() << "/" << devices_->disk->reads();
    }
    if (devices_->entropy) line << " rng=" << devices_->entropy->bytes();
    if (devices_->net) {
      line << " net=" << devices_->net->sent() << "/" << devices_->net->came() << "/"
           << devices_->net->lost();
    }
    if (devices_->balloon) {
      line << " hints=" << devices_->balloon->runs() << "/" << devices_->balloon->named() << "/"
           << devices_->balloon->taken_back();
    }
    print(line);
    leave(ExitCode::done);
  }

  void sleep_until(std::uint64_t deadline, std::uint64_t wakes) {
    const std::uint64_t now = read_tsc();
    // Falling asleep and waking up takes about this long.
    const std::uint64_t shortest = microseconds(50);
    if (options_.spin || deadline <= now || deadline - now < shortest) return;
    // A periodic timer wakes us with its next interrupt, before the deadline or up to a period
    // late.
    lapic_sleep(deadline, wakes);
    stall_.expect(deadline);
  }

  Processor& cpu_;
  const Options& options_;
  Devices* devices_;
  std::uint32_t greeted_;
  Ticker ticker_;
  TimerWatch timer_watch_;
  TouchControl touch_control_;
  ChangeControl change_control_;
  Stall stall_;
  Optional<Dirtier> dirtier_;
  Optional<Toucher> toucher_;
  Optional<Changer> changer_;
  Optional<Checker> checker_;
  Optional<Registers> registers_;
  std::uint64_t walk_report_due_ = 0;
  std::uint64_t reported_walks_ = 0;
};

}  // namespace

Devices::Devices(const Options& options, Processor& cpu, MemoryMap& memory) : input(options, cpu) {
  if (options.disk_reads != 0) {
    disk_reader.emplace(options, cpu, memory);
  } else if (options.disk_blocks != 0) {
    disk.emplace(options, cpu, memory);
  }
  if (options.entropy) entropy.emplace(cpu, memory);
  if (options.frames_per_second != 0) net.emplace(options, cpu, memory);
  if (options.measures_frames()) net_meter.emplace(options, cpu, memory);
  if (options.hints_mib != 0) balloon.emplace(options, cpu, memory);
}

bool greet_arrivals(std::uint32_t& greeted) {
  const std::uint32_t up = processors_up();
  const bool any = greeted < up;
  for (; greeted < up; ++greeted) print(Line() << "vcpu " << std::uint64_t{greeted} << " up");
  return any;
}

void run_loop(Processor& cpu, const Options& options, PageSet& pages, std::uint32_t sharers,
              Devices* devices, std::uint32_t greeted) {
  Loop(cpu, options, pages, sharers, devices, greeted).run();
}

}  // namespace guest
