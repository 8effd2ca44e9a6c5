#include "migration/net/buffered_reader.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace migration::net {

namespace {

/// A header may be followed by bulk data, of which no more than this is read ahead, and so copied.
/// Where more is asked for at once, compressed blocks come, and as many as there are.
constexpr std::size_t kLittle = 4096;

}  // namespace

std::span<const std::byte> BufferedReader::take(std::size_t bytes) {
  if (bytes > kMost) throw std::length_error("more is read at once than is ever sent");
  if (end_ - begin_ < bytes) fill(bytes);
  const std::span<const std::byte> taken(buffer_.data() + begin_, bytes);
  begin_ += bytes;
  return taken;
}

void BufferedReader::fill(std::size_t bytes) {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const std::size_t ahead = bytes <= kLittle ? kLittle : kMost;
  while (end_ < bytes) {
    end_ += stream_.read_some(std::span(buffer_).subspan(end_, ahead - end_));
  }
}

void BufferedReader::read(std::span<iovec> parts) {
  while (!parts.empty() && begin_ < end_) {
    iovec& part = parts.front();
    const std::size_t size = std::min(part.iov_len, end_ - begin_);
    std::memcpy(part.iov_base, buffer_.data() + begin_, size);
    begin_ += size;
    part.iov_base = static_cast<std::byte*>(part.iov_base) + size;
    part.iov_len -= size;
    if (part.iov_len == 0) parts = parts.subspan(1);
  }
  stream_.read(parts);
}

}  // namespace migration::net
