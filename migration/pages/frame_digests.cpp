#include "migration/pages/frame_digests.hpp"

#include "migration/base/page_content.hpp"

namespace migration {

std::span<const std::byte> FrameDigests::of(const vmm::GuestMemory& memory,
                                            std::span<const vmm::PageRange> ranges) {
  digests_.clear();
  if (!wanted_) return {};
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      digests_.push_back(digest_of(memory.pages({page, 1})));
    }
  }
  return std::as_bytes(std::span(digests_));
}

}  // namespace migration
