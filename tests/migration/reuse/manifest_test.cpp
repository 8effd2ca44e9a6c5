#include "migration/reuse/manifest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace migration {
namespace {

constexpr std::size_t kIdAt = 12;
constexpr std::size_t kNameAt = 48;
constexpr std::size_t kTokenAt = 50 + 5;
constexpr std::size_t kSizeAt = kTokenAt + 16;

Manifest example() {
  Manifest manifest;
  manifest.vm_id = "0a1b2c3d-0000-4111-8222-333344445555";
  manifest.name = "guest";
  manifest.token.fill(std::byte{7});
  manifest.memory_bytes = std::uint64_t{17} << 20;
  manifest.kept_at = 1'790'000'000'000'000;
  manifest.key.fill(std::byte{9});
  manifest.hashes.fill(std::byte{11});
  manifest.held = vmm::PageSet(manifest.memory_bytes / vmm::kPageSize);
  manifest.held.set(vmm::PageRange{3, 100});
  manifest.held.set(manifest.held.pages() - 1);
  return manifest;
}

/// With a checksum that matches, as a buggy writer would make it.
wire::Bytes resealed(wire::Bytes bytes) {
  bytes.resize(bytes.size() - sizeof(Checksum));
  const Checksum checksum = checksum_of(bytes);
  bytes.insert(bytes.end(), checksum.begin(), checksum.end());
  return bytes;
}

std::string refusal(const wire::Bytes& bytes) {
  try {
    static_cast<void>(decode_manifest(bytes));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal_with(std::size_t at, std::byte value) {
  wire::Bytes bytes = encode(example());
  bytes.at(at) = value;
  return refusal(resealed(std::move(bytes)));
}

TEST(Manifest, ComesBackAsItWasWritten) {
  EXPECT_EQ(decode_manifest(encode(example())), example());
}

TEST(Manifest, IsRefusedWithAnyBitFlipped) {
  const wire::Bytes good = encode(example());
  for (std::size_t i = 0; i < good.size(); ++i) {
    wire::Bytes bytes = good;
    bytes[i] ^= std::byte{1};
    ASSERT_NE(refusal(bytes), "accepted") << i;
  }
}

TEST(Manifest, IsRefusedWhenItIsCutAnywhereEvenWithAChecksumThatMatches) {
  const wire::Bytes good = encode(example());
  for (std::size_t size = 0; size < good.size(); ++size) {
    wire::Bytes bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_NE(refusal(bytes), "accepted") << size;
    if (size < sizeof(Checksum)) continue;
    ASSERT_NE(refusal(resealed(bytes)), "accepted") << size;
  }
}

TEST(Manifest, NamesTheFieldThatIsUnsound) {
  EXPECT_NE(refusal_with(0, std::byte{'F'}).find("not one of Ferry's"), std::string::npos);
  EXPECT_NE(refusal_with(8, std::byte{2}).find("version 2"), std::string::npos);
  EXPECT_NE(refusal_with(kIdAt, std::byte{'/'}).find("VM id"), std::string::npos);
  EXPECT_NE(refusal_with(kIdAt, std::byte{'A'}).find("VM id"), std::string::npos);
  EXPECT_NE(refusal_with(kNameAt + 1, std::byte{1}).find("name is too long"), std::string::npos);
  EXPECT_NE(refusal_with(kSizeAt, std::byte{1}).find("RAM of"), std::string::npos);
  EXPECT_NE(refusal_with(kSizeAt + 6, std::byte{1}).find("RAM of"), std::string::npos);
  EXPECT_NE(refusal_with(kSizeAt + 2, std::byte{0x20}).find("do not fit"), std::string::npos);
}

TEST(Manifest, AllocatesNothingForASizeThatTheFileDoesNotBack) {
  // 16 TiB of RAM have 512 MiB of bitmap, which are not there.
  EXPECT_NE(refusal_with(kSizeAt + 5, std::byte{0x0f}).find("do not fit"), std::string::npos);
}

TEST(Manifest, IsRefusedWithPagesPastTheEndOfRam) {
  wire::Bytes bytes = encode(example());
  EXPECT_EQ(refusal(bytes), "accepted");
  bytes.insert(bytes.end() - sizeof(Checksum), 8, std::byte{0xff});
  EXPECT_NE(refusal(resealed(bytes)).find("do not fit"), std::string::npos);
}

TEST(VmId, IsAUuidInLowerCaseAndNothingElse) {
  EXPECT_TRUE(is_vm_id("0a1b2c3d-0000-4111-8222-333344445555"));
  EXPECT_FALSE(is_vm_id(""));
  EXPECT_FALSE(is_vm_id("0a1b2c3d-0000-4111-8222-33334444555"));
  EXPECT_FALSE(is_vm_id("0A1b2c3d-0000-4111-8222-333344445555"));
  EXPECT_FALSE(is_vm_id("../../../../../../../../../../etc/pa"));
  EXPECT_FALSE(is_vm_id("0a1b2c3d-0000-4111-8222-3333444455/5"));
}

}  // namespace
}  // namespace migration
