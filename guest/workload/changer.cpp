#include "guest/workload/changer.hpp"

#include "guest/boot/layout.h"
#include "guest/cpu/atomic.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr int kMostAtOnce = 256;
// As often as the serial port is looked at; a guest that waits for the byte is nearly idle.
constexpr std::uint64_t kIdlePollMs = 20;

constinit Atomic<std::uint32_t> current_change;
constinit Atomic<std::uint32_t> done_change[GUEST_MAX_CPUS];

}  // namespace

Changer::Changer(const Options& options, PageSet& pages, PageShare share, std::uint32_t cpu,
                 std::uint32_t cpus)
    : pages_(pages),
      share_(share),
      cpu_(cpu),
      writable_(pages.writable(share)),
      wanted_(options.change_pages * (cpu + 1) / cpus - options.change_pages * cpu / cpus),
      random_(share.begin + 1) {
  if (wanted_ > writable_) {
    fail(ExitCode::bad_options,
         Line() << "options change=" << options.change_pages << " exceeds the filled pages");
  }
}

std::uint64_t Changer::step(std::uint64_t now) {
  if (const std::uint32_t change = current_change.load(); change != change_) {
    change_ = change;
    next_ = share_.begin;
    selection_ = Selection(wanted_, writable_, share_.begin + change);
  }
  for (int i = 0; i < kMostAtOnce && selection_.wanted() != 0; ++next_) {
    if (pages_.kind(next_) == PageKind::zero || !selection_.take()) continue;
    pages_.touch(next_, random_);
    ++i;
  }
  if (selection_.wanted() != 0) return now;
  // Once: a guest that waits shall write nothing.
  if (done_change[cpu_].load() != change_) done_change[cpu_].store(change_);
  return now + milliseconds(kIdlePollMs);
}

void ChangeControl::begin() {
  current_change.fetch_add(1);
  told_ = false;
}

void ChangeControl::step() {
  if (told_) return;
  const std::uint32_t change = current_change.load();
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    if (done_change[cpu].load() != change) return;
  }
  told_ = true;
  print(Line() << "change " << std::uint64_t{change} << " done pages=" << pages_);
}

}  // namespace guest
