#include "migration/forecast/content_sample.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "migration/base/elapsed.hpp"
#include "migration/base/page_content.hpp"
#include "migration/pages/block_packer.hpp"
#include "migration/wire/format.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration::forecast {

namespace {

constexpr std::size_t kBlock = wire::kMaxLz4Pages * vmm::kPageSize;
/// Packing takes a hundred times as long as looking.
constexpr unsigned kPackOneIn = 4;

}  // namespace

ContentSample::ContentSample() : block_(kBlock), packed_(PageCodec::room_for(kBlock)) {}

ContentSample::Kind ContentSample::look(std::span<const std::byte> page) {
  if (is_zero(page)) return Kind::zero;
  ++data_;
  if (!digests_.insert(digest_of(page)).second) ++duplicates_;
  if (!looks_compressible(page)) return Kind::random;
  // The guest may be writing it, and LZ4 reads more than once.
  std::memcpy(block_.data() + filled_, page.data(), page.size());
  filled_ += page.size();
  if (filled_ == kBlock) {
    if (blocks_++ % kPackOneIn == 0) pack();
    filled_ = 0;
  }
  return Kind::shrinking;
}

void ContentSample::pack() {
  auto start = std::chrono::steady_clock::now();
  const std::size_t by_lz4 = codec_.pack(block_, packed_, BlockPacker::kAcceleration);
  lz4_.add(by_lz4, seconds_since(start));
  start = std::chrono::steady_clock::now();
  const std::size_t by_zstd = codec_.pack_zstd(block_, packed_);
  zstd_.add(by_zstd, seconds_since(start));
}

void ContentSample::Tally::add(std::size_t bytes, double seconds) {
  out_ += static_cast<double>(std::min(bytes, kBlock));
  seconds_.push_back(seconds);
}

/// By the middle one of the blocks: some were interrupted.
Packing ContentSample::Tally::packing() const {
  if (seconds_.empty()) return {};
  std::vector<double> seconds = seconds_;
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::ranges::nth_element(seconds, middle);
  const double pages = static_cast<double>(seconds.size()) * wire::kMaxLz4Pages;
  return {.page_bytes = out_ / pages,
          .rate = static_cast<double>(kBlock) / std::max(*middle, 1e-9)};
}

}  // namespace migration::forecast
