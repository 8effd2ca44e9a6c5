#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

#include "migration/net/stream.hpp"

namespace migration::net {

/// Reads ahead from a Stream, so that small frames come many to a call, while bulk data still goes
/// straight to where it belongs. One thread, as the stream; errors are the stream's.
class BufferedReader {
 public:
  /// The most bytes that `take` gives at once.
  static constexpr std::size_t kMost = std::size_t{128} << 10;

  explicit BufferedReader(Stream& stream) : stream_(stream), buffer_(kMost) {}

  /// The next `bytes`, valid until the next call.
  [[nodiscard]] std::span<const std::byte> take(std::size_t bytes);
  /// Fills all of it: with what has been read ahead, and the rest from the stream without a copy.
  /// Changes `parts`.
  void read(std::span<iovec> parts);

 private:
  void fill(std::size_t bytes);

  Stream& stream_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;  ///< of what is in buffer_ and not yet taken
  std::size_t end_ = 0;
};

}  // namespace migration::net
