#include "guest/workload/checker.hpp"

#include "guest/cpu/time.hpp"

namespace guest {
namespace {

// Few enough that dirtying and checking interleave, and that the TSC is looked at often.
constexpr std::uint64_t kPagesPerStep = 32;

}  // namespace

Checker::Checker(const Options& options, const PageSet& pages, PageShare share, std::uint32_t cpus,
                 Progress& progress)
    : pages_(pages),
      share_(share),
      progress_(progress),
      next_(share.begin),
      pause_(options.check_pages_per_second == 0
                 ? 0
                 : tsc_khz() * 1000 * kPagesPerStep * cpus / options.check_pages_per_second) {}

std::uint64_t Checker::step(std::uint64_t now) {
  if (share_.begin == share_.end) return kNever;
  if (now < due_) return due_;
  for (std::uint64_t i = 0; i < kPagesPerStep; ++i) {
    pages_.verify(next_);
    if (++next_ == share_.end) {
      next_ = share_.begin;
      ++progress_.walks;
    }
  }
  due_ = now + pause_;
  return due_;
}

}  // namespace guest
