#include "migration/reuse/page_hash.hpp"

#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "migration/reuse/store_files.hpp"

namespace migration {

namespace {

constexpr std::array<unsigned char, 12> kNonce{};
constexpr unsigned kMaxThreads = 4;
/// Pages that a thread takes at a time: they stay in its cache when they were read from a file.
constexpr std::uint64_t kPortionPages = 32;

EVP_CIPHER_CTX* context_of(void* context) { return static_cast<EVP_CIPHER_CTX*>(context); }

void check(int result) {
  if (result != 1) throw std::runtime_error("libcrypto cannot compute AES-128-GCM");
}

struct Portion {
  vmm::PageRange pages;
  std::size_t at = 0;  ///< where their hashes go
};

std::vector<Portion> portions_of(const vmm::DirtyBitmap& pages) {
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

/// The bytes of some pages, which may be read into the buffer.
using Fetch = std::function<std::span<const std::byte>(vmm::PageRange, std::span<std::byte>)>;

std::vector<PageHash> hash_portions(const vmm::DirtyBitmap& pages,
                                    const vmm::DirtyBitmap& populated, const HashKey& key,
                                    const Fetch& fetch) {
  constexpr std::array<std::byte, vmm::kPageSize> kZeroPage{};
  const PageHash zero = PageHasher(key)(kZeroPage);
  const std::vector<Portion> portions = portions_of(pages);
  std::vector<PageHash> hashes(pages.count(), zero);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      PageHasher hasher(key);
      std::vector<std::byte> buffer(kPortionPages * vmm::kPageSize);
      for (std::size_t i = next++; i < portions.size(); i = next++) {
        const auto& [range, at] = portions[i];
        if (populated.count(range) == 0) continue;
        const std::span<const std::byte> bytes = fetch(range, buffer);
        for (std::uint64_t n = 0; n < range.count; ++n) {
          if (!populated.test(range.first + n)) continue;
          hashes[at + n] = hasher(bytes.subspan(n * vmm::kPageSize, vmm::kPageSize));
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = portions.size();
    }
  };
  {
    const auto wanted = std::min<std::size_t>(
        std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads), portions.size());
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < wanted; ++i) threads.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  return hashes;
}

/// From the first to the last page of the set.
vmm::PageRange span_of(const vmm::DirtyBitmap& pages) {
  const auto ranges = pages.ranges();
  if (ranges.empty()) return {};
  return {ranges.front().first, ranges.back().end() - ranges.front().first};
}

}  // namespace

HashKey random_hash_key() {
  HashKey key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return key;
}

void PageHasher::Free::operator()(void* context) const { EVP_CIPHER_CTX_free(context_of(context)); }

PageHasher::PageHasher(const HashKey& key) : context_(EVP_CIPHER_CTX_new()) {
  if (!context_) throw std::runtime_error("libcrypto is out of memory");
  check(EVP_EncryptInit_ex(context_of(context_.get()), EVP_aes_128_gcm(), nullptr,
                           reinterpret_cast<const unsigned char*>(key.data()), kNonce.data()));
}

PageHash PageHasher::operator()(std::span<const std::byte> page) {
  EVP_CIPHER_CTX* const context = context_of(context_.get());
  PageHash hash{};
  int written = 0;
  check(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, kNonce.data()));
  check(EVP_EncryptUpdate(context, nullptr, &written,
                          reinterpret_cast<const unsigned char*>(page.data()),
                          static_cast<int>(page.size())));
  std::array<unsigned char, 16> rest{};
  check(EVP_EncryptFinal_ex(context, rest.data(), &written));
  check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(hash.size()),
                            hash.data()));
  return hash;
}

std::vector<PageHash> hash_pages(const vmm::GuestMemory& memory, const vmm::DirtyBitmap& pages,
                                 const HashKey& key) {
  vmm::DirtyBitmap populated(pages.pages());
  memory.add_populated(span_of(pages), populated);
  return hash_portions(pages, populated, key, [&](vmm::PageRange range, std::span<std::byte>) {
    return memory.pages(range);
  });
}

std::vector<PageHash> hash_pages(int file, const vmm::DirtyBitmap& pages, const HashKey& key) {
  vmm::DirtyBitmap populated(pages.pages());
  vmm::add_populated(file, span_of(pages), populated);
  return hash_portions(pages, populated, key,
                       [&](vmm::PageRange range, std::span<std::byte> buffer) {
                         const auto wanted = buffer.first(range.count * vmm::kPageSize);
                         store::read_at(file, range.first * vmm::kPageSize, wanted);
                         return std::span<const std::byte>(wanted);
                       });
}

}  // namespace migration
