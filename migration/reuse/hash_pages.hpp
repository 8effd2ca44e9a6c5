#pragma once

#include <cstdint>
#include <vector>

#include "migration/base/page_hasher.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// The hash of every page of `pages`, in order, by several threads (as many as the host has
/// processors, at most 4). Pages that are not of `data` are not touched, and hash as zero pages.
[[nodiscard]] std::vector<PageHash> hash_pages(const vmm::GuestMemory& memory,
                                               const vmm::PageSet& pages, const vmm::PageSet& data,
                                               const HashKey& key);

/// The same with digests (page_content.hpp), which are much faster and show damage.
[[nodiscard]] std::vector<std::uint64_t> digest_pages(const vmm::GuestMemory& memory,
                                                      const vmm::PageSet& pages,
                                                      const vmm::PageSet& data);
/// Reads pages of `file`, in which RAM was kept, into `memory`, where they were never touched, and
/// digests them. Holes are not touched. An error of the disk is a std::system_error; a file that
/// ends early is a std::runtime_error.
[[nodiscard]] std::vector<std::uint64_t> read_pages(int file, vmm::GuestMemory& memory,
                                                    const vmm::PageSet& pages);

}  // namespace migration
