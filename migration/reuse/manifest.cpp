#include "migration/reuse/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>

#include "migration/base/xxhash.hpp"
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

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  std::span<const std::byte> bytes(std::size_t count, const char* what) {
    if (count > rest_.size()) unsound(fmt::format("it ends before its {}", what));
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  std::uint64_t integer(std::size_t size, const char* what) {
    std::uint64_t value = 0;
    const auto from = bytes(size, what);
    for (std::size_t i = 0; i < size; ++i) {
      value |= std::to_integer<std::uint64_t>(from[i]) << (8 * i);
    }
    return value;
  }
  std::string text(std::size_t size, const char* what) {
    const auto from = bytes(size, what);
    return {reinterpret_cast<const char*>(from.data()), from.size()};
  }
  template <std::size_t kSize>
  void fill(std::array<std::byte, kSize>& into, const char* what) {
    std::ranges::copy(bytes(kSize, what), into.begin());
  }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

vmm::PageSet read_held(Reader& reader, std::uint64_t pages) {
  const std::uint64_t words = pages / 64;  // RAM is a whole number of MiB: no word is cut
  // Before the bitmap is made: no more is allocated than there are bytes.
  if (reader.left() != words * 8) unsound("the pages held do not fit the size of RAM");
  vmm::PageSet held(pages);
  for (std::uint64_t& word : held.words()) word = reader.integer(8, "pages held");
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
  bytes.reserve(512 + manifest.held.words().size() * 8);
  wire::Writer writer(bytes);
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
  for (const std::uint64_t word : manifest.held.words()) writer.u64(word);
  writer.bytes(checksum_of(bytes));
  return bytes;
}

Manifest decode_manifest(std::span<const std::byte> bytes) {
  Checksum checksum{};
  if (bytes.size() < checksum.size()) unsound("it is too short");
  std::ranges::copy(bytes.last(checksum.size()), checksum.begin());
  bytes = bytes.first(bytes.size() - checksum.size());
  // Before the checksum, so that another program's file or a newer Ferry's is told as that.
  Reader reader(bytes);
  if (reader.text(kMagic.size(), "beginning") != kMagic) unsound("it is not one of Ferry's");
  const std::uint64_t version = reader.integer(4, "version");
  if (version != kVersion) unsound(fmt::format("it has version {}, not {}", version, kVersion));
  if (checksum_of(bytes) != checksum) unsound("its checksum does not match");

  Manifest manifest;
  manifest.vm_id = reader.text(kIdBytes, "VM id");
  if (!is_vm_id(manifest.vm_id)) unsound("its VM id is no UUID");
  const std::uint64_t name = reader.integer(2, "name");
  if (name > kMaxImageName) unsound("its name is too long");
  manifest.name = reader.text(name, "name");
  reader.fill(manifest.token, "token");
  manifest.memory_bytes = reader.integer(8, "size of RAM");
  if (manifest.memory_bytes < vmm::kMinMemory || manifest.memory_bytes > kMaxMemoryBytes ||
      manifest.memory_bytes % (1U << 20) != 0) {
    unsound(fmt::format("RAM of {} bytes", manifest.memory_bytes));
  }
  manifest.kept_at = static_cast<std::int64_t>(reader.integer(8, "time"));
  reader.fill(manifest.key, "key");
  reader.fill(manifest.hashes, "checksum of hashes");
  manifest.held = read_held(reader, manifest.memory_bytes / vmm::kPageSize);
  return manifest;
}

}  // namespace migration
