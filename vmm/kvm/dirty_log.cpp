#include "vmm/kvm/dirty_log.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <span>

#include "vmm/kvm/kvm_api.hpp"
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
  const ExclusiveLock lock(mutex_);
  read_.assign((memory_.page_count() + 63) / 64, 0);
  pending_ = PageSet(memory_.page_count());
  pending_.set(PageRange{0, memory_.page_count()});
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
  std::uint32_t number = 0;
  for (const RamSlot& slot : memory_.slots()) {
    const PageRange pages = slot.pages();
    vm_.get_dirty_log(number++,
                      std::span(read_).subspan(pages.first / 64, (pages.count + 63) / 64));
  }
  std::vector<PageRange> untouched;
  {
    const Lock leaving(leaving_);
    untouched.swap(untouched_);
  }
  std::ranges::sort(untouched, {}, &PageRange::first);
  PageIndex from = 0;
  for (const PageRange& range : untouched) {
    if (range.first > from) add_read({from, range.first - from});
    from = std::max(from, range.end());
  }
  add_read({from, memory_.page_count() - from});
  memory_.take_host_writes(pending_);
  PageSet touched(memory_.page_count());
  for (const PageRange& range : untouched) retire_untouched(range, touched);
  pending_ |= touched;
  return pending_;
}

void DirtyLog::add_read(PageRange range) {
  for (PageIndex page = range.first; page < range.end(); page += 64) {
    pending_.add_word(page / 64, read_[page / 64]);
  }
}

/// What is untouched still stays as it is. Where a page was touched since, the step that it lies in
/// is logged from now on like any other, and the touched pages of it are added to `touched`.
void DirtyLog::retire_untouched(PageRange range, PageSet& touched) {
  memory_.add_populated(range, touched);
  for (PageIndex first = range.first; first < range.end();) {
    const PageIndex end = std::min(range.end(), (first / kRetireStep + 1) * kRetireStep);
    const PageRange step{first, end - first};
    first = end;
    if (touched.count(step) == 0 && skip_untouched(step)) continue;
    // First clear, then look.
    protect(step, all_pages);
    memory_.add_populated(step, touched);
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
  for (const RamSlot& slot : memory_.slots()) {
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
