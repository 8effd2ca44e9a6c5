#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "migration/base/page_hash.hpp"
#include "migration/base/token.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// XXH3-128, in its canonical byte order: against faults, not against forgers.
using Checksum = std::array<std::byte, 16>;
[[nodiscard]] Checksum checksum_of(std::span<const std::byte> bytes);

/// A VM id as Ferry makes them: a UUID in lower case. Nothing else becomes part of a file's name.
inline constexpr std::size_t kIdBytes = 36;  ///< of a VM id, a UUID
[[nodiscard]] bool is_vm_id(std::string_view text);

/// Of each page of RAM, in the file of hashes: its hash and its digest.
inline constexpr std::uint64_t kHashBytes = sizeof(PageHash) + sizeof(std::uint64_t);
inline constexpr std::size_t kMaxImageName = 255;  ///< bytes of a VM's name

/// What is known of a kept image. A pure value; it is what makes files in a store an image.
struct Manifest {
  std::string vm_id;  ///< see is_vm_id()
  std::string name;   ///< at most kMaxImageName bytes
  Token token{};      ///< of the handover after which RAM was kept
  std::uint64_t memory_bytes = 0;
  std::int64_t kept_at = 0;  ///< microseconds since 1970, UTC
  HashKey key{};
  Checksum hashes{};  ///< of the file of hashes
  vmm::PageSet held;  ///< over all pages of RAM
  bool operator==(const Manifest&) const = default;
};

/// The most bytes that a manifest may have.
inline constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{513} << 20;

/// `manifest` is sound. Little-endian integers; the bitmap as words of 64 bits, page 64 w + n being
/// bit n of word w; last the checksum of all that.
[[nodiscard]] wire::Bytes encode(const Manifest& manifest);
/// std::runtime_error that names what is unsound.
[[nodiscard]] Manifest decode_manifest(std::span<const std::byte> bytes);

}  // namespace migration
