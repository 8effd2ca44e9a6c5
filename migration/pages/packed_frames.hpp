#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "migration/pages/page_batch.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/wire/format.hpp"

namespace migration {

/// Frames of blocks on their way into one write: each write wakes the receiver.
class PackedFrames {
 public:
  /// What went into them, for the policy.
  struct Gathered {
    double in = 0, out = 0, seconds = 0;
  };

  /// Where the next one goes, with room for the largest.
  [[nodiscard]] std::span<std::byte> place();
  /// It is there, with so many bytes, of which `of` tells.
  void add(std::size_t bytes, const Gathered& of);
  [[nodiscard]] bool empty() const { return used_ == 0; }
  /// So many are gathered as one write shall have.
  [[nodiscard]] bool full() const { return used_ >= kBytes; }
  [[nodiscard]] std::span<std::byte> all() { return std::span(bytes_).first(used_); }
  [[nodiscard]] const Gathered& gathered() const { return gathered_; }
  void clear();

 private:
  static constexpr std::size_t kBytes = 128 << 10;

  std::vector<std::byte> bytes_;
  std::size_t used_ = 0;
  Gathered gathered_;
};

}  // namespace migration
