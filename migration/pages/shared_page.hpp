#pragma once

#include <cstddef>
#include <span>

#include "migration/net/buffered_reader.hpp"

namespace migration {

/// What the pages of a `pages_alike` frame hold, of which `bytes` are left: the page, or the word
/// that it repeats. wire::ProtocolError where it is neither.
void read_shared_page(net::BufferedReader& in, std::size_t bytes, std::span<std::byte> page);

}  // namespace migration
