#pragma once

#include <array>
#include <cstddef>

namespace migration {

/// A keyed 128-bit hash of a page: GMAC (NIST SP 800-38D, section 3) with the page as associated
/// data and a fixed nonce. With a random key that the guest does not know, two different pages have
/// the same hash with a probability of at most 257 / 2^128, whatever the guest writes. It is no
/// authentication: the nonce is fixed, so who sees hashes can forge pages.
using PageHash = std::array<std::byte, 16>;
using HashKey = std::array<std::byte, 16>;

}  // namespace migration
