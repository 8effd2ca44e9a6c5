#include "vmm/kvm/dirty_log.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <span>
#include <utility>

#include "vmm/kvm/kvm_api.hpp"
#include "vmm/kvm/memory_slots.hpp"
#include "vmm/memory/page_words.hpp"

namespace vmm {

namespace {

/// Looking at one again takes a microsecond, also while the guest is stopped.
constexpr std::size_t kMostUntouched = 64;
constexpr std::uint64_t kRetireStep = PageSet::kBlockPages;

std::span<const std::uint64_t> all_pages(PageIndex /*of a block*/) {
  static constexpr auto kWords = [] {
    std::array<std::uint64_t, PageSet::kBlockPages / 64> words{};
    words.fill(kAllPagesOfWord);
    return words;
  }();
  return kWords;
}

}  // namespace

DirtyLog::DirtyLog(const KvmVm& vm, GuestMemory& memory)
    : vm_(vm), memory_(memory), slots_(memory_slots(memory)) {
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
  for (const RamSlot& slot : slots_) {
    vm_.set_user_memory_region(number++, on ? std::uint32_t{KVM_MEM_LOG_DIRTY_PAGES} : 0, slot.base,
                               memory_.pages(slot.pages()));
  }
  active_ = on;
}

void DirtyLog::start() {
  assert(!active_);
  const ExclusiveLock lock(mutex_);
  const std::uint64_t largest = std::ranges::max(slots_, {}, &RamSlot::size).pages().count;
  read_.assign((largest + 63) / 64, 0);
  pending_ = PageSet(memory_.page_count());
  // Otherwise KVM's own log has all of them.
  if (!manual_) pending_.set(PageRange{0, memory_.page_count()});
  // Before the log began, as all that is in it at first.
  memory_.take_host_writes(pending_);
  set_logging(true);
}

void DirtyLog::stop() {
  if (!active_) return;
  set_logging(false);
  const ExclusiveLock lock(mutex_);
  read_ = {};
  pending_ = {};
  const Lock leaving(leaving_);
  untouched_.clear();
}

PageSet DirtyLog::read() {
  const ExclusiveLock lock(mutex_);
  assert(active_);
  std::vector<PageRange> untouched;
  {
    const Lock leaving(leaving_);
    untouched.swap(untouched_);
  }
  std::ranges::sort(untouched, {}, &PageRange::first);
  for (std::uint32_t number = 0; number < slots_.size(); ++number) read_slot(number, untouched);
  memory_.take_host_writes(pending_);
  PageSet touched(memory_.page_count());
  for (const PageRange& range : untouched) retire_untouched(range, touched);
  pending_ |= touched;
  return pending_;
}

/// Ranges in order. Where they are all of the slot, KVM is not asked.
void DirtyLog::read_slot(std::uint32_t number, std::span<const PageRange> but_these) {
  const PageRange slot = slots_[number].pages();
  bool asked = false;
  const auto add = [&](PageIndex from, PageIndex end) FERRY_REQUIRES(mutex_) {
    if (from >= end) return;
    if (!std::exchange(asked, true)) {
      vm_.get_dirty_log(number, std::span(read_).first((slot.count + 63) / 64));
    }
    for (PageIndex page = from; page < end; page += 64) {
      pending_.add_word(page / 64, read_[(page - slot.first) / 64]);
    }
  };
  PageIndex from = slot.first;
  for (const PageRange& range : but_these) {
    if (range.end() <= from) continue;
    if (range.first >= slot.end()) break;
    add(from, range.first);
    from = range.end();
  }
  add(from, slot.end());
}

/// What is untouched still stays as it is. Where a page was touched since, the step that it lies in
/// is logged from now on like any other, and the touched pages of it are added to `touched`.
void DirtyLog::retire_untouched(PageRange range, PageSet& touched) {
  memory_.add_populated(range, touched);
  const auto retire = [&](PageIndex first, PageIndex end) FERRY_REQUIRES(mutex_) {
    // First clear, then look.
    protect({first, end - first}, all_pages);
    memory_.add_populated({first, end - first}, touched);
  };
  for (PageIndex first = range.first; first < range.end();) {
    const auto next = touched.next_range(first, range.end());
    const PageIndex step = next ? next->first / kRetireStep * kRetireStep : range.end();
    if (step > first) {
      if (!skip_untouched({first, step - first})) retire(first, step);
      first = step;
    } else {
      const PageIndex end = std::min(range.end(), step + kRetireStep);
      retire(first, end);
      first = end;
    }
  }
}

void DirtyLog::clear(const PageSet& pages, PageRange range) {
  assert(range.first % 64 == 0 && (range.end() % 64 == 0 || range.end() == memory_.page_count()));
  const SharedLock lock(mutex_);
  pending_.subtract(pages, range);
  protect(range, [&](PageIndex first) { return pages.block_words(first); });
}

void DirtyLog::clear_all(PageRange range) {
  const SharedLock lock(mutex_);
  pending_.reset(range);
  protect(range, all_pages);
}

/// `words_of` the block that a page lies in tell which pages of it are protected; there may be
/// none. Each call of KVM's that protects a page makes it flush what vCPUs have cached: blocks side
/// by side go in one.
template <typename WordsOf>
void DirtyLog::protect(PageRange range, WordsOf words_of) const {
  if (!manual_) return;
  std::vector<std::uint64_t> words;
  std::uint32_t number = 0;
  for (const RamSlot& slot : slots_) {
    const std::uint32_t id = number++;
    const PageRange here = slot.pages();
    const PageIndex slot_end = std::min(range.end(), here.end());
    const auto clear = [&](PageIndex first, PageIndex end) {
      if (!words.empty()) vm_.clear_dirty_log(id, first - here.first, end - first, words);
      words.clear();
    };
    PageIndex from = std::max(range.first, here.first);
    for (PageIndex first = from; first < slot_end;) {
      const PageIndex end =
          std::min(slot_end, (first / PageSet::kBlockPages + 1) * PageSet::kBlockPages);
      const std::span<const std::uint64_t> block = words_of(first);
      if (block.empty()) {
        clear(from, first);
        from = end;
      } else {
        const auto part = block.subspan(first % PageSet::kBlockPages / 64, (end - first + 63) / 64);
        words.insert(words.end(), part.begin(), part.end());
      }
      first = end;
    }
    clear(from, slot_end);
  }
}

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
