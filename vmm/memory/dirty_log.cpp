#include "vmm/memory/dirty_log.hpp"

#include "vmm/kvm/kvm_api.hpp"

#include <algorithm>
#include <cassert>
#include <mutex>

namespace vmm {

namespace {

/// Looking at one again takes a microsecond, also while the guest is stopped.
constexpr std::size_t kMostUntouched = 64;

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
  pending_ = DirtyBitmap(memory_.page_count());
  pending_.set(PageRange{0, memory_.page_count()});
  everything_ = pending_;
  set_logging(true);
}

void DirtyLog::stop() {
  if (!active_) return;
  set_logging(false);
  pending_ = {};
  everything_ = {};
  untouched_.clear();
}

DirtyBitmap DirtyLog::harvest() {
  const std::unique_lock lock(mutex_);
  assert(active_);
  DirtyBitmap log(memory_.page_count());
  std::uint32_t number = 0;
  for (const RamSlot& slot : memory_.slots()) {
    const PageRange pages = slot.pages();
    vm_.get_dirty_log(number++, log.words().subspan(pages.first / 64, (pages.count + 63) / 64));
  }
  memory_.take_host_writes(log);
  pending_ |= log;
  log = pending_;
  drop_untouched(log);
  return log;
}

/// A page that was touched since is dirty, as it was never cleared.
void DirtyLog::drop_untouched(DirtyBitmap& pages) const {
  if (untouched_.empty()) return;
  DirtyBitmap touched(memory_.page_count());
  for (const PageRange& range : untouched_) {
    memory_.add_populated(range, touched);
    pages.intersect(touched, range);
  }
}

void DirtyLog::clear(const DirtyBitmap& pages, PageRange range) {
  assert(range.first % 64 == 0 && (range.end() % 64 == 0 || range.end() == memory_.page_count()));
  const std::shared_lock lock(mutex_);
  const auto bits = pages.words().subspan(range.first / 64, (range.count + 63) / 64);
  const auto pending = pending_.words().subspan(range.first / 64, bits.size());
  for (std::size_t i = 0; i < bits.size(); ++i) pending[i] &= ~bits[i];
  if (!manual_) return;
  std::uint32_t number = 0;
  for (const RamSlot& slot : memory_.slots()) {
    const std::uint32_t id = number++;
    const PageIndex first = std::max(range.first, slot.pages().first);
    const PageIndex end = std::min(range.end(), slot.pages().end());
    if (first >= end) continue;
    vm_.clear_dirty_log(id, first - slot.pages().first, end - first,
                        bits.subspan((first - range.first) / 64));
  }
}

void DirtyLog::clear_all(PageRange range) { clear(everything_, range); }

void DirtyLog::clear_touched(const DirtyBitmap& pages, PageRange range, DirtyBitmap& touched) {
  if (memory_.passes_over_untouched()) {
    const std::uint64_t before = touched.count(range);
    memory_.add_populated(range, touched);
    if (before == 0 && touched.count(range) == 0 && leave_untouched(range)) return;
  }
  // First clear, then look.
  clear(pages, range);
  memory_.add_populated(range, touched);
}

/// False when it cannot, as it would make too many of them to look at in each harvest.
bool DirtyLog::leave_untouched(PageRange range) {
  const std::shared_lock lock(mutex_);
  const std::lock_guard leaving(leaving_);
  for (PageRange& other : untouched_) {
    if (other.first <= range.first && range.end() <= other.end()) return true;
    if (other.end() != range.first && range.end() != other.first) continue;
    other = {std::min(other.first, range.first), other.count + range.count};
    return true;
  }
  if (untouched_.size() == kMostUntouched) return false;
  untouched_.push_back(range);
  return true;
}

}  // namespace vmm
