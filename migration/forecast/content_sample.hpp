#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "migration/pages/page_codec.hpp"

namespace migration::forecast {

/// What pages of a sample would take on the wire, by the tests and the codec of PageSender.
class ContentSample {
 public:
  /// What one page is.
  enum class Kind : std::uint8_t { untouched, zero, random, shrinking };

  ContentSample();

  /// One that was touched. Its bytes are read now.
  Kind look(std::span<const std::byte> page);

  /// Of a page that shrinks: the bytes of it that LZ4 leaves, in a block of 16.
  [[nodiscard]] double shrunk_bytes() const;
  /// Of such pages, how many bytes it packs in a second, where nobody else takes the processor; 0:
  /// none was seen.
  [[nodiscard]] double pack_rate() const;
  /// Pages that are the same as an earlier one, but for zero pages.
  [[nodiscard]] std::uint64_t duplicates() const { return duplicates_; }
  [[nodiscard]] std::uint64_t data() const { return data_; }

 private:
  void pack();

  PageCodec codec_;
  std::vector<std::byte> block_;
  std::vector<std::byte> packed_;
  std::size_t filled_ = 0;  ///< bytes of block_
  unsigned blocks_ = 0;     ///< filled so far
  double in_ = 0, out_ = 0;
  std::vector<double> seconds_;  ///< that each block took
  std::unordered_set<std::uint64_t> digests_;
  std::uint64_t data_ = 0;
  std::uint64_t duplicates_ = 0;
};

}  // namespace migration::forecast
