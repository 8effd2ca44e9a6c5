#include "guest/workload/page_set.hpp"

#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kPagesPerMib = 256;
constexpr std::uint64_t kChunkPages =
    512;  // as a large page, so that two vCPUs rarely fault on the same
constexpr std::uint32_t kFirstGeneration = 1;

}  // namespace

void PageSet::place(const Options& options, MemoryMap memory) {
  memory_ = memory;
  pages_ = options.fill_mib * kPagesPerMib;
  zero_percent_ = options.zero_percent;
  random_percent_ = options.random_percent;
  copies_percent_ = options.copies_percent;
  write_ = options.dirty.block ? PageWrite::block : PageWrite::spread;
  const std::uint64_t size = pages_ * sizeof(std::uint32_t);
  const std::uint64_t table = memory_.take(size);
  const bool marks = options.touch.wanted();
  if (marks) marks_ = reinterpret_cast<std::uint32_t*>(memory_.take(size));
  if (table == 0 || (marks && marks_ == nullptr) || memory_.free_pages() < pages_) {
    Line line;
    line << "options fill=" << options.fill_mib << " does not fit: the memory has room for "
         << memory_.free_pages() / kPagesPerMib << " MiB";
    fail(ExitCode::bad_options, line);
  }
  generations_ = reinterpret_cast<std::uint32_t*>(table);
}

void PageSet::fill_chunks() {
  for (;;) {
    const std::uint64_t begin = next_chunk_.fetch_add(kChunkPages);
    if (begin >= pages_) return;
    const std::uint64_t end = begin + kChunkPages < pages_ ? begin + kChunkPages : pages_;
    for (std::uint64_t index = begin; index < end; ++index) {
      if (marks_ != nullptr) marks_[index] = 0;
      generations_[index] = kFirstGeneration;
      fill_page_as(name(index), memory_.address(index), kind(index), kFirstGeneration);
    }
    filled_.fetch_add(end - begin);
  }
}

std::uint64_t PageSet::count(PageKind wanted) const {
  std::uint64_t count = 0;
  for (std::uint64_t index = 0; index < pages_; ++index) count += kind(index) == wanted ? 1 : 0;
  return count;
}

std::uint64_t PageSet::writable(PageShare share) const {
  std::uint64_t count = 0;
  for (std::uint64_t index = share.begin; index < share.end; ++index) {
    if (kind(index) != PageKind::zero) ++count;
  }
  return count;
}

PageShare PageSet::share(std::uint32_t index, std::uint32_t count) const {
  return {pages_ * index / count, pages_ * (index + 1) / count};
}

void PageSet::report(std::uint64_t index, const PageVerdict& verdict) const {
  Line line;
  line << "page ";
  line.hex(memory_.address(index)) << " " << guest::name(verdict.fault) << " got=";
  line.hex(verdict.got) << " want=";
  line.hex(verdict.want) << " generation=" << std::uint64_t{generations_[index]};
  fail(ExitCode::page_error, line);
}

}  // namespace guest
