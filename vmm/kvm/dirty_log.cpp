#include "vmm/kvm/dirty_log.hpp"

#include "vmm/kvm/kvm_api.hpp"

#include <algorithm>
#include <cassert>

namespace vmm {

namespace {

/// Looking at one again takes a microsecond, also while the guest is stopped.
constexpr std::size_t kMostUntouched = 64;
/// 8 MiB.
constexpr std::uint64_t kRetireStep = 2048;

}  // namespace

DirtyLog::DirtyLog(const KvmVm& vm, GuestMemory& memory) : vm_(vm), memory_(memory) {
  constexpr std::uint64_t kWanted =
      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
  const auto have =
      static_cast<std::uint64_t>(vm_.check_extension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
  // INITIALLY_SET matters beyond speed: without it, starting the log protects all of RAM in one
  // call while the guest waits.
  manual_ = (have & kWanted) == kWanted;
  if (manual_) vm_.enable_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, kWanted);
}

DirtyLog::~DirtyLog() { stop(); }

void DirtyLog::set_logging(bool on) {
  std::uint32_t number = 0;
  for (const RamSlot& slot : memory_.slots()) {
    vm_.set_user_memory_region(number++, on ? std::uint32_t{KVM_MEM_LOG_DIRTY_PAGES} : 0, slot.base,
                               memory_.pages(slot.pages()));
  }
  active_ = on;
}

void DirtyLog::start() {
  assert(!active_);
  everything_ = PageSet(memory_.page_count());
  everything_.set(PageRange{0, memory_.page_count()});
  const ExclusiveLock lock(mutex_);
  pending_ = everything_;
  set_logging(true);
}

void DirtyLog::stop() {
  if (!active_) return;
  set_logging(false);
  everything_ = {};
  const ExclusiveLock lock(mutex_);
  pending_ = {};
  const Lock leaving(leaving_);
  untouched_.clear();
}

PageSet DirtyLog::read() {
  const ExclusiveLock lock(mutex_);
  assert(active_);
  PageSet log(memory_.page_count());
  std::uint32_t number = 0;
  for (const RamSlot& slot : memory_.slots()) {
    const PageRange pages = slot.pages();
    vm_.get_dirty_log(number++, log.words().subspan(pages.first / 64, (pages.count + 63) / 64));
  }
  retire_untouched(log);
  memory_.take_host_writes(log);
  pending_ |= log;
  return pending_;
}

/// Takes out of `log` what is untouched still. Where a page was touched since, the step that it
/// lies in is logged from now on like any other, and the touched pages of it are in `log`.
void DirtyLog::retire_untouched(PageSet& log) {
  std::vector<PageRange> untouched;
  {
    const Lock leaving(leaving_);
    untouched.swap(untouched_);
  }
  if (untouched.empty()) return;
  PageSet touched(memory_.page_count());
  for (const PageRange& range : untouched) {
    log.reset(range);
    memory_.add_populated(range, touched);
    for (PageIndex first = range.first; first < range.end();) {
      const PageIndex end = std::min(range.end(), (first / kRetireStep + 1) * kRetireStep);
      const PageRange step{first, end - first};
      first = end;
      if (touched.count(step) == 0 && skip_untouched(step)) continue;
      // First clear, then look.
      protect(everything_, step);
      memory_.add_populated(step, touched);
    }
  }
  log |= touched;
}

void DirtyLog::clear(const PageSet& pages, PageRange range) {
  assert(range.first % 64 == 0 && (range.end() % 64 == 0 || range.end() == memory_.page_count()));
  const SharedLock lock(mutex_);
  const auto bits = pages.words().subspan(range.first / 64, (range.count + 63) / 64);
  const auto pending = pending_.words().subspan(range.first / 64, bits.size());
  for (std::size_t i = 0; i < bits.size(); ++i) pending[i] &= ~bits[i];
  protect(pages, range);
}

void DirtyLog::protect(const PageSet& pages, PageRange range) const {
  if (!manual_) return;
  std::uint32_t number = 0;
  for (const RamSlot& slot : memory_.slots()) {
    const std::uint32_t id = number++;
    const PageIndex first = std::max(range.first, slot.pages().first);
    const PageIndex end = std::min(range.end(), slot.pages().end());
    if (first >= end) continue;
    vm_.clear_dirty_log(id, first - slot.pages().first, end - first,
                        pages.words().subspan(first / 64));
  }
}

void DirtyLog::clear_all(PageRange range) { clear(everything_, range); }

void DirtyLog::clear_touched(PageRange range, PageSet& touched) {
  if (memory_.passes_over_untouched() && touched.count(range) == 0) {
    memory_.add_populated(range, touched);
    if (touched.count(range) == 0) {
      const SharedLock lock(mutex_);
      pending_.reset(range);
      if (skip_untouched(range)) return;
    }
  }
  // First clear, then look.
  clear_all(range);
  memory_.add_populated(range, touched);
}

/// False when there would be too many of them.
bool DirtyLog::skip_untouched(PageRange range) {
  const Lock leaving(leaving_);
  if (std::ranges::any_of(untouched_, [&](const PageRange& other) {
        return other.first <= range.first && range.end() <= other.end();
      })) {
    return true;
  }
  for (PageRange& other : untouched_) {
    if (other.end() != range.first && range.end() != other.first) continue;
    other = {std::min(other.first, range.first), other.count + range.count};
    return true;
  }
  if (untouched_.size() == kMostUntouched) return false;
  untouched_.push_back(range);
  return true;
}

}  // namespace vmm
