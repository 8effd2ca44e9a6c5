#include "migration/postcopy/single_page_frames.hpp"

#include "migration/base/page_content.hpp"

namespace migration {

SinglePageFrames::SinglePageFrames(const vmm::GuestMemory& memory, PageCounters& counters,
                                   bool digests)
    : memory_(memory),
      counters_(counters),
      digests_(digests),
      compressed_(PageCodec::room_for(vmm::kPageSize)) {}

void SinglePageFrames::add(wire::FrameType type, vmm::PageIndex index, bool compressed) {
  const auto page = memory_.pages({index, 1});
  const std::uint64_t digest = digests_ ? digest_of(page) : 0;
  if (is_zero(page)) {
    ++counters_.zero;
    return wire::put_single_page(frames_, type, index, wire::PageEncoding::zero, digest, 0);
  }
  if (compressed) {
    const std::size_t size = codec_.pack(page, compressed_, 1);
    if (size < page.size()) {
      ++counters_.compressed;
      wire::put_single_page(frames_, type, index, wire::PageEncoding::lz4, digest, size);
      frames_.insert(frames_.end(), compressed_.begin(),
                     compressed_.begin() + static_cast<std::ptrdiff_t>(size));
      return;
    }
  }
  ++counters_.raw;
  wire::put_single_page(frames_, type, index, wire::PageEncoding::raw, digest, page.size());
  inserts_.push_back({frames_.size(), page});
}

void SinglePageFrames::clear() {
  frames_.clear();
  inserts_.clear();
}

std::uint64_t SinglePageFrames::write(net::Stream& stream) {
  parts_.clear();
  std::size_t at = 0;
  std::uint64_t bytes = frames_.size();
  for (const Insert& insert : inserts_) {
    parts_.push_back({frames_.data() + at, insert.after - at});
    // The kernel reads it, and does not write: iovec knows no const.
    parts_.push_back({const_cast<std::byte*>(insert.page.data()), insert.page.size()});
    bytes += insert.page.size();
    at = insert.after;
  }
  if (at < frames_.size()) parts_.push_back({frames_.data() + at, frames_.size() - at});
  stream.write(parts_);
  clear();
  return bytes;
}

}  // namespace migration
