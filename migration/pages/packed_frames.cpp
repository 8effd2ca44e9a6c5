#include "migration/pages/packed_frames.hpp"

namespace migration {

namespace {

/// Before the largest block in its frame.
constexpr std::size_t kFrameHead =
    wire::kHeaderBytes + wire::kMaxLz4Pages * (wire::kRangeBytes + wire::kDigestBytes);

}  // namespace

std::span<std::byte> PackedFrames::place() {
  bytes_.resize(kBytes + kFrameHead + PageCodec::room_for(PageCopies::kBlock));
  return std::span(bytes_).subspan(used_);
}

void PackedFrames::add(std::size_t bytes, const Gathered& of) {
  used_ += bytes;
  gathered_.in += of.in;
  gathered_.out += of.out;
  gathered_.seconds += of.seconds;
}

void PackedFrames::clear() {
  used_ = 0;
  gathered_ = {};
}

}  // namespace migration
