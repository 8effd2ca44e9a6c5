#include "devices/pci/msix.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace devices {
namespace {

constexpr std::uint16_t kEnable = 0x8000;
constexpr std::uint16_t kMaskAll = 0x4000;

struct MsixFixture {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> sent;
  Msix msix{
      3, [this](std::uint64_t address, std::uint32_t data) { sent.emplace_back(address, data); }};

  void write(std::uint64_t offset, std::uint32_t value) {
    msix.write_table(offset, std::as_bytes(std::span(&value, 1)));
  }
  void set(std::uint64_t vector, std::uint32_t address, std::uint32_t data, std::uint32_t masked) {
    write(vector * Msix::kEntryBytes, address);
    write(vector * Msix::kEntryBytes + 8, data);
    write(vector * Msix::kEntryBytes + 12, masked);
  }
  std::uint64_t pending() {
    std::uint64_t value = 0;
    msix.read_pending(0, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
};

using Sent = std::vector<std::pair<std::uint64_t, std::uint32_t>>;

TEST(Msix, SendsWhatTheGuestHasSet) {
  MsixFixture it;
  it.msix.set_control(kEnable);
  it.set(1, 0xfee01000, 0x31, 0);
  it.msix.trigger(1);
  EXPECT_EQ(it.sent, (Sent{{0xfee01000, 0x31}}));
}

TEST(Msix, SendsNothingWhileItIsOff) {
  MsixFixture it;
  it.set(1, 0xfee01000, 0x31, 0);
  it.msix.trigger(1);
  it.msix.set_control(kEnable);
  EXPECT_TRUE(it.sent.empty());
}

TEST(Msix, KeepsWhatIsMaskedUntilItIsNot) {
  MsixFixture it;
  it.msix.set_control(kEnable);
  it.set(0, 0xfee00000, 0x30, 1);
  it.msix.trigger(0);
  it.msix.trigger(0);
  EXPECT_EQ(it.pending(), 1U);
  it.write(12, 0);
  EXPECT_EQ(it.sent, (Sent{{0xfee00000, 0x30}}));
  EXPECT_EQ(it.pending(), 0U);

  it.msix.set_control(kEnable | kMaskAll);
  it.msix.trigger(0);
  EXPECT_EQ(it.sent.size(), 1U);
  it.msix.set_control(kEnable);
  EXPECT_EQ(it.sent.size(), 2U);
}

TEST(Msix, HasNoOtherVectors) {
  MsixFixture it;
  it.msix.set_control(kEnable);
  for (const int vector : {3, 64, 0xffff}) it.msix.trigger(static_cast<std::uint16_t>(vector));
  it.write(3 * Msix::kEntryBytes - 2, UINT32_MAX);  // half of it is beyond the table
  it.write(3 * Msix::kEntryBytes, UINT32_MAX);
  it.write(0xffc, UINT32_MAX);
  std::uint64_t beyond = UINT64_MAX;
  it.msix.read_table(3 * Msix::kEntryBytes, std::as_writable_bytes(std::span(&beyond, 1)));
  EXPECT_EQ(beyond, 0U);
  EXPECT_TRUE(it.sent.empty());
  EXPECT_THROW(Msix(0, nullptr), std::logic_error);
  EXPECT_THROW(Msix(65, nullptr), std::logic_error);
}

TEST(Msix, TravelsWithWhatIsPending) {
  MsixFixture from;
  from.msix.set_control(kEnable);
  from.set(2, 0xfee02000, 0x32, 1);
  from.msix.trigger(2);
  std::vector<std::byte> saved;
  vmm::ByteWriter out(saved);
  from.msix.save(out);

  MsixFixture to;
  vmm::ByteReader<std::invalid_argument> reader(saved, "MSI-X");
  to.msix.load(reader);
  reader.finish();
  to.msix.set_control(kEnable);
  EXPECT_TRUE(to.sent.empty());
  to.write(2 * Msix::kEntryBytes + 12, 0);
  EXPECT_EQ(to.sent, (Sent{{0xfee02000, 0x32}}));
}

}  // namespace
}  // namespace devices
