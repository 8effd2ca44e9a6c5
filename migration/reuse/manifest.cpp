#include "migration/reuse/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>

#include "migration/base/xxhash.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

namespace {

constexpr std::string_view kMagic = "ferryimg";
constexpr std::uint32_t kVersion = 1;
/// Page numbers of 32 bits, as in the migration protocol.
constexpr std::uint64_t kMaxMemoryBytes = std::uint64_t{1} << 44;

[[noreturn]] void unsound(std::string_view what) {
  throw std::runtime_error(fmt::format("the manifest of the image is unsound: {}", what));
}

using Reader = vmm::ByteReader<std::runtime_error>;

vmm::PageSet read_held(Reader& reader, std::uint64_t pages) {
  const std::uint64_t words = pages / 64;  // RAM is a whole number of MiB: no word is cut
  // Before the bitmap is made: no more is allocated than there are bytes.
  if (reader.left() != words * 8) unsound("the pages held do not fit the size of RAM");
  vmm::PageSet held(pages);
  for (std::size_t word = 0; word < words; ++word) held.add_word(word, reader.u64());
  return held;
}

}  // namespace

Checksum checksum_of(std::span<const std::byte> bytes) {
  XXH128_canonical_t canonical{};
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  Checksum checksum{};
  static_assert(sizeof(canonical) == sizeof(checksum));
  std::memcpy(checksum.data(), &canonical, sizeof(checksum));
  return checksum;
}

bool is_vm_id(std::string_view text) {
  if (text.size() != kIdBytes) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

wire::Bytes encode(const Manifest& manifest) {
  assert(is_vm_id(manifest.vm_id) && manifest.name.size() <= kMaxImageName);
  wire::Bytes bytes;
  bytes.reserve(512 + manifest.held.word_count() * 8);
  vmm::ByteWriter writer(bytes);
  writer.text(kMagic);
  writer.u32(kVersion);
  writer.text(manifest.vm_id);
  writer.u16(static_cast<std::uint16_t>(manifest.name.size()));
  writer.text(manifest.name);
  writer.bytes(manifest.token);
  writer.u64(manifest.memory_bytes);
  writer.u64(static_cast<std::uint64_t>(manifest.kept_at));
  writer.bytes(manifest.key);
  writer.bytes(manifest.hashes);
  for (std::size_t word = 0; word < manifest.held.word_count(); ++word) {
    writer.u64(manifest.held.word(word));
  }
  writer.bytes(checksum_of(bytes));
  return bytes;
}

Manifest decode_manifest(std::span<const std::byte> bytes) {
  Checksum checksum{};
  if (bytes.size() < checksum.size()) unsound("it is too short");
  std::ranges::copy(bytes.last(checksum.size()), checksum.begin());
  bytes = bytes.first(bytes.size() - checksum.size());
  // Before the checksum, so that another program's file or a newer Ferry's is told as that.
  Reader reader(bytes, "manifest of the image");
  if (reader.text(kMagic.size()) != kMagic) unsound("it is not one of Ferry's");
  const std::uint64_t version = reader.u32();
  if (version != kVersion) unsound(fmt::format("it has version {}, not {}", version, kVersion));
  if (checksum_of(bytes) != checksum) unsound("its checksum does not match");

  Manifest manifest;
  manifest.vm_id = reader.text(kIdBytes);
  if (!is_vm_id(manifest.vm_id)) unsound("its VM id is no UUID");
  const std::uint64_t name = reader.u16();
  if (name > kMaxImageName) unsound("its name is too long");
  manifest.name = reader.text(name);
  reader.fill(manifest.token);
  manifest.memory_bytes = reader.u64();
  if (manifest.memory_bytes < vmm::kMinMemory || manifest.memory_bytes > kMaxMemoryBytes ||
      manifest.memory_bytes % (1U << 20) != 0) {
    unsound(fmt::format("RAM of {} bytes", manifest.memory_bytes));
  }
  manifest.kept_at = static_cast<std::int64_t>(reader.u64());
  reader.fill(manifest.key);
  reader.fill(manifest.hashes);
  manifest.held = read_held(reader, manifest.memory_bytes / vmm::kPageSize);
  return manifest;
}

}  // namespace migration
