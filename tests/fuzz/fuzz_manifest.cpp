/// Feeds the decoder of manifests with what a damaged or foreign store may have, as it is and with
/// a checksum that matches. Whatever is unsound must end in std::runtime_error; what is accepted
/// must be written again as it was.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <stdexcept>

#include "migration/reuse/manifest.hpp"

namespace {

void decode_one(std::span<const std::byte> bytes) {
  try {
    const migration::Manifest manifest = migration::decode_manifest(bytes);
    if (!std::ranges::equal(migration::encode(manifest), bytes)) std::abort();
  } catch (const std::runtime_error&) {
    // Refused, with a reason.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  decode_one(bytes);
  migration::wire::Bytes sealed(bytes.begin(), bytes.end());
  const migration::Checksum checksum = migration::checksum_of(bytes);
  sealed.insert(sealed.end(), checksum.begin(), checksum.end());
  decode_one(sealed);
  return 0;
}
