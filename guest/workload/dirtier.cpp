#include "guest/workload/dirtier.hpp"

#include "guest/cpu/time.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kFraction = 1024;  // of a TSC cycle; overflows after two months
constexpr std::uint64_t kPagesPerMib = 256;
constexpr int kMostAtOnce = 256;

/// How many pages from share.begin on hold `wanted` that are not zero; the last one is not.
std::uint64_t span(const PageSet& pages, PageShare share, std::uint64_t wanted) {
  std::uint64_t index = share.begin;
  while (wanted > 0) {
    if (pages.kind(index++) != PageKind::zero) --wanted;
  }
  return index - share.begin;
}

}  // namespace

Dirtier::Dirtier(const WriteOptions& options, PageSet& pages, PageShare share, std::uint32_t cpus,
                 Progress& progress)
    : pages_(pages),
      progress_(progress),
      random_(share.begin + 1),
      start_(read_tsc()),
      interval_(tsc_khz() * 1000 * kFraction / options.writes_per_second * cpus),
      busy_(milliseconds(options.busy_ms)),
      cycle_(options.quiet_ms == 0 ? 0 : busy_ + milliseconds(options.quiet_ms)),
      begin_(share.begin + (share.end - share.begin) * options.working_set_at / 100),
      hot_percent_(options.skew_writes_percent) {
  share.begin = begin_;
  std::uint64_t working_set = pages.writable(share);
  const std::uint64_t wanted = options.working_set_mib * kPagesPerMib / cpus;
  if (wanted != 0 && wanted < working_set) working_set = wanted;
  const std::uint64_t hot = working_set * options.skew_pages_percent / 100;
  size_ = span(pages, share, working_set);
  hot_size_ = span(pages, share, hot == 0 && working_set != 0 ? 1 : hot);
}

std::uint64_t Dirtier::pick() {
  for (;;) {
    std::uint64_t index = begin_;
    if (hot_size_ >= size_) {
      index += random_.below(size_);
    } else if (random_.below(100) < hot_percent_) {
      index += random_.below(hot_size_);
    } else {
      index += hot_size_ + random_.below(size_ - hot_size_);
    }
    if (pages_.kind(index) != PageKind::zero) return index;
  }
}

std::uint64_t Dirtier::step(std::uint64_t now) {
  if (size_ == 0) return kNever;
  const std::uint64_t elapsed = (now - start_) * kFraction;
  const std::uint64_t into_cycle = cycle_ == 0 ? 0 : (now - start_) % cycle_;
  if (into_cycle > busy_) {
    const std::uint64_t quiet = cycle_ - into_cycle;
    due_ = elapsed + quiet * kFraction;
    return now + quiet;
  }
  // A machine that was stopped does not make up for all of it: the writes of 100 ms at most.
  const std::uint64_t longest_debt = milliseconds(100) * kFraction;
  if (elapsed > longest_debt && due_ < elapsed - longest_debt) due_ = elapsed - longest_debt;
  for (int i = 0; i < kMostAtOnce; ++i) {
    if (due_ > elapsed) {
      // In batches of two milliseconds, so that an otherwise idle vCPU can sleep in between.
      const std::uint64_t next = start_ + due_ / kFraction;
      const std::uint64_t batch = now + milliseconds(2);
      return next > batch ? next : batch;
    }
    pages_.touch(pick(), random_);
    ++progress_.writes;
    due_ += interval_;
  }
  return now;
}

}  // namespace guest
