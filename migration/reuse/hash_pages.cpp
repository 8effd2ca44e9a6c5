#include "migration/reuse/hash_pages.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>

#include "migration/base/page_content.hpp"
#include "migration/reuse/store_files.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

namespace {

constexpr unsigned kMaxThreads = 4;
/// Pages that are read from a file at a time: they stay in the cache until they are looked at.
constexpr std::uint64_t kPortionPages = 32;
/// Portions that a thread takes at a time, 2 MiB: the kernel maps what shares a page table under
/// one lock, and two threads would wait for each other.
constexpr std::size_t kTurn = 16;

struct Portion {
  vmm::PageRange pages;
  std::size_t at = 0;  ///< where their hashes go
};

/// The processor fetches ahead by itself only up to the end of a page. Looking at a page takes less
/// time than memory needs to deliver it, so the next one is asked for first.
void fetch_ahead(std::span<const std::byte> page) {
  constexpr int kToRead = 0;
  constexpr int kIntoLevel2 = 2;
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < page.size(); at += kLine) {
    __builtin_prefetch(&page[at], kToRead, kIntoLevel2);
  }
}

std::vector<Portion> portions_of(const vmm::PageSet& pages) {
  std::vector<Portion> portions;
  std::size_t at = 0;
  for (vmm::PageRange range : pages.ranges()) {
    while (range.count > 0) {
      const std::uint64_t count = std::min(range.count, kPortionPages);
      portions.push_back({{range.first, count}, at});
      at += count;
      range = {range.first + count, range.count - count};
    }
  }
  return portions;
}

/// What one of several threads has failed by.
class HashFailure {
 public:
  void set(std::exception_ptr failure) {
    const vmm::Lock lock(mutex_);
    failure_ = std::move(failure);
  }
  void rethrow() {
    const vmm::Lock lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  vmm::Mutex mutex_;
  std::exception_ptr failure_ FERRY_GUARDED_BY(mutex_);
};

/// What `make()` makes of every page of `pages`: one functor for each thread. `fetch` is called
/// before the pages of a range are looked at; those that are not of `data` count as zero.
template <typename Make, typename Fetch>
auto map_pages(const vmm::GuestMemory& memory, const vmm::PageSet& pages, const vmm::PageSet& data,
               const Make& make, const Fetch& fetch) {
  constexpr std::array<std::byte, vmm::kPageSize> kZeroPage{};
  const auto zero = make()(std::span<const std::byte>(kZeroPage));
  const std::vector<Portion> portions = portions_of(pages);
  std::vector<std::remove_const_t<decltype(zero)>> results(pages.count(), zero);
  const std::size_t turns = (portions.size() + kTurn - 1) / kTurn;
  const auto turn = [&](std::size_t number) {
    const auto rest = std::span(portions).subspan(number * kTurn);
    return rest.first(std::min(rest.size(), kTurn));
  };
  std::atomic<std::size_t> next{0};
  HashFailure failure;
  const auto look = [&](const Portion& portion, auto& of_page) {
    const auto& [range, at] = portion;
    if (data.count(range) == 0) return;
    fetch(range);
    for (std::uint64_t n = 0; n < range.count; ++n) {
      if (!data.test(range.first + n)) continue;
      if (n + 1 < range.count) fetch_ahead(memory.pages({range.first + n + 1, 1}));
      results[at + n] = of_page(memory.pages({range.first + n, 1}));
    }
  };
  const auto work = [&] {
    auto of_page = make();
    for (std::size_t i = next++; i < turns; i = next++) {
      for (const Portion& portion : turn(i)) look(portion, of_page);
    }
  };
  const auto failed = [&](std::exception_ptr why) {
    failure.set(std::move(why));
    next = turns;
  };
  {
    const auto wanted = std::min<std::size_t>(
        std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads), turns);
    std::vector<vmm::Thread> threads;
    try {
      for (std::size_t i = 1; i < wanted; ++i) {
        threads.emplace_back(vmm::ThreadRole::hashes, work, failed);
      }
    } catch (const std::exception&) {
      // The process may have no more threads, or memory: those threads that there are do it.
    }
    try {
      work();
    } catch (...) {
      failed(std::current_exception());
    }
    for (vmm::Thread& thread : threads) thread.join();
  }
  failure.rethrow();
  return results;
}

/// From the first to the last page of the set.
vmm::PageRange span_of(const vmm::PageSet& pages) {
  const auto ranges = pages.ranges();
  if (ranges.empty()) return {};
  return {ranges.front().first, ranges.back().end() - ranges.front().first};
}

constexpr auto kNoFetch = [](vmm::PageRange) {};
constexpr auto kDigest = [] { return &digest_of; };

}  // namespace

std::vector<PageHash> hash_pages(const vmm::GuestMemory& memory, const vmm::PageSet& pages,
                                 const vmm::PageSet& data, const HashKey& key) {
  return map_pages(
      memory, pages, data, [&] { return PageHasher(key); }, kNoFetch);
}

std::vector<std::uint64_t> digest_pages(const vmm::GuestMemory& memory, const vmm::PageSet& pages,
                                        const vmm::PageSet& data) {
  return map_pages(memory, pages, data, kDigest, kNoFetch);
}

std::vector<std::uint64_t> read_pages(int file, vmm::GuestMemory& memory,
                                      const vmm::PageSet& pages) {
  vmm::PageSet data(pages.pages());
  store::add_data(file, span_of(pages), data);
  return map_pages(memory, pages, data, kDigest, [&](vmm::PageRange portion) {
    for (const vmm::PageRange& range : data.ranges(portion)) {
      store::read_at(file, range.first * vmm::kPageSize, memory.pages(range));
    }
  });
}

}  // namespace migration
