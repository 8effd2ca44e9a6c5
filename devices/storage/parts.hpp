#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "devices/storage/storage.hpp"

namespace devices::storage {

[[nodiscard]] std::uint64_t bytes_of(std::span<const iovec> parts);

/// For a host that has no better way to make zeros.
void write_zeros(Storage& storage, std::uint64_t offset, std::uint64_t length);

}  // namespace devices::storage
