#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "migration/pages/page_codec.hpp"

namespace migration::forecast {

/// Pages that shrink, in blocks of 16, by one of the formats.
struct Packing {
  double page_bytes = 4096;  ///< that it leaves of a page
  /// Bytes of pages that it packs in a second, where nobody else takes the processor; 0: not known.
  double rate = 0;
};

/// What pages of a sample would take on the wire, by the tests and the codec of PageSender.
class ContentSample {
 public:
  /// What one page is.
  enum class Kind : std::uint8_t { untouched, zero, random, shrinking };

  ContentSample();

  /// One that was touched. Its bytes are read now.
  Kind look(std::span<const std::byte> page);

  [[nodiscard]] Packing lz4() const { return lz4_.packing(); }
  [[nodiscard]] Packing zstd() const { return zstd_.packing(); }
  /// Pages that are the same as an earlier one, but for zero pages.
  [[nodiscard]] std::uint64_t duplicates() const { return duplicates_; }
  [[nodiscard]] std::uint64_t data() const { return data_; }

 private:
  /// Of blocks that were packed.
  class Tally {
   public:
    void add(std::size_t bytes, double seconds);
    [[nodiscard]] Packing packing() const;

   private:
    double out_ = 0;
    std::vector<double> seconds_;  ///< that each block took
  };

  void pack();

  PageCodec codec_;
  std::vector<std::byte> block_;
  std::vector<std::byte> packed_;
  std::size_t filled_ = 0;  ///< bytes of block_
  unsigned blocks_ = 0;     ///< filled so far
  Tally lz4_, zstd_;
  std::unordered_set<std::uint64_t> digests_;
  std::uint64_t data_ = 0;
  std::uint64_t duplicates_ = 0;
};

}  // namespace migration::forecast
