#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vmm/memory/dirty_bitmap.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// A keyed 128-bit hash of a page: GMAC (NIST SP 800-38D, section 3) with the page as associated
/// data and a fixed nonce. With a random key that the guest does not know, two different pages have
/// the same hash with a probability of at most 257 / 2^128, whatever the guest writes. It is no
/// authentication: the nonce is fixed, so who sees hashes can forge pages.
using PageHash = std::array<std::byte, 16>;
using HashKey = std::array<std::byte, 16>;

/// std::system_error when the kernel gives no random bytes.
[[nodiscard]] HashKey random_hash_key();

/// Hashes pages with one key, in one thread. std::runtime_error when libcrypto refuses.
class PageHasher {
 public:
  explicit PageHasher(const HashKey& key);
  [[nodiscard]] PageHash operator()(std::span<const std::byte> page);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

/// The hash of every page of `pages`, in order, by several threads (as many as the host has
/// processors, at most 4). Pages that are not of `data` are not touched, and hash as zero pages.
[[nodiscard]] std::vector<PageHash> hash_pages(const vmm::GuestMemory& memory,
                                               const vmm::DirtyBitmap& pages,
                                               const vmm::DirtyBitmap& data, const HashKey& key);

/// The same with digests (verify.hpp), which are much faster and show damage.
[[nodiscard]] std::vector<std::uint64_t> digest_pages(const vmm::GuestMemory& memory,
                                                      const vmm::DirtyBitmap& pages,
                                                      const vmm::DirtyBitmap& data);
/// Reads pages of `file`, in which RAM was kept, into `memory`, where they were never touched, and
/// digests them. Holes are not touched. An error of the disk is a std::system_error; a file that
/// ends early is a std::runtime_error.
[[nodiscard]] std::vector<std::uint64_t> read_pages(int file, vmm::GuestMemory& memory,
                                                    const vmm::DirtyBitmap& pages);

}  // namespace migration
