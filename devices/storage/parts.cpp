#include "devices/storage/parts.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace devices::storage {

namespace {

/// What is written at a time.
constexpr std::uint64_t kZeros = std::uint64_t{256} << 10;

}  // namespace

std::uint64_t bytes_of(std::span<const iovec> parts) {
  std::uint64_t bytes = 0;
  for (const iovec& part : parts) bytes += part.iov_len;
  return bytes;
}

void write_zeros(Storage& storage, std::uint64_t offset, std::uint64_t length) {
  std::vector<std::byte> zeros(std::min(kZeros, length));
  while (length > 0) {
    iovec part{zeros.data(), std::min<std::uint64_t>(zeros.size(), length)};
    const std::uint64_t bytes = part.iov_len;
    storage.write(offset, {&part, 1});
    offset += bytes;
    length -= bytes;
  }
}

}  // namespace devices::storage
