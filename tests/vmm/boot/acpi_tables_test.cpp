#include "vmm/boot/acpi_tables.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>

namespace vmm {
namespace {

constexpr std::uint32_t kAt = 0xe0000;

AcpiPlatform platform() {
  return {.pm_event_ports = 0x600,
          .pm_control_ports = 0x604,
          .soft_off = 5,
          .sci = 9,
          .reset_port = 0x608,
          .reset_value = 1,
          .century = 0x32,
          .pci_window = AcpiWindow{0xd0000000, 0x10000000},
          .devices = {{"COM1", "PNP0501", 0x3f8, 8, 4}, {"PEVT", "QEMU0001", 0x505, 1, 0}}};
}

/// The tables, read as a guest reads them: from the RSDP on, by their addresses.
class AcpiTables : public testing::Test {
 protected:
  template <typename Number>
  [[nodiscard]] Number number(std::uint64_t address) const {
    Number value{};
    std::memcpy(&value, bytes_.data() + (address - kAt), sizeof(value));
    return value;
  }
  [[nodiscard]] std::string text(std::uint64_t address, std::size_t size) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + (address - kAt), size};
  }
  [[nodiscard]] unsigned sum(std::uint64_t address, std::size_t size) const {
    unsigned sum = 0;
    for (const char byte : text(address, size)) sum += static_cast<unsigned char>(byte);
    return sum & 0xff;
  }
  [[nodiscard]] std::uint64_t xsdt() const { return number<std::uint64_t>(kAt + 24); }
  [[nodiscard]] std::uint64_t table(std::string_view signature) const {
    for (std::uint32_t at = 36; at < number<std::uint32_t>(xsdt() + 4); at += 8) {
      const auto address = number<std::uint64_t>(xsdt() + at);
      if (text(address, 4) == signature) return address;
    }
    ADD_FAILURE() << "no table " << signature;
    return kAt;
  }
  void build(std::uint32_t cpus) { bytes_ = acpi_tables(platform(), cpus, kAt); }

  std::vector<std::byte> bytes_ = acpi_tables(platform(), 1, kAt);
};

TEST_F(AcpiTables, BeginWithTheRsdp) {
  EXPECT_EQ(text(kAt, 8), "RSD PTR ");
  EXPECT_EQ(number<std::uint8_t>(kAt + 15), 2);
  EXPECT_EQ(number<std::uint32_t>(kAt + 20), 36U);
  EXPECT_EQ(sum(kAt, 20), 0U);
  EXPECT_EQ(sum(kAt, 36), 0U);
}

TEST_F(AcpiTables, HaveLengthsAndChecksums) {
  for (const std::uint32_t cpus : {1U, 2U, 16U}) {
    build(cpus);
    for (const std::uint64_t at :
         {xsdt(), table("FACP"), table("APIC"), number<std::uint64_t>(table("FACP") + 140)}) {
      const auto length = number<std::uint32_t>(at + 4);
      ASSERT_LE(at + length, kAt + bytes_.size());
      EXPECT_EQ(sum(at, length), 0U) << text(at, 4);
    }
  }
}

TEST_F(AcpiTables, FitInTheBiosAreaForTheLargestMachine) {
  build(16);
  EXPECT_LT(bytes_.size(), 0x1000U);
}

TEST_F(AcpiTables, DescribeTheFixedHardware) {
  const std::uint64_t fadt = table("FACP");
  EXPECT_EQ(number<std::uint32_t>(fadt + 4), 276U);
  EXPECT_EQ(number<std::uint16_t>(fadt + 46), 9U);      // SCI
  EXPECT_EQ(number<std::uint32_t>(fadt + 48), 0U);      // no SMI command
  EXPECT_EQ(number<std::uint32_t>(fadt + 56), 0x600U);  // PM1a event block
  EXPECT_EQ(number<std::uint8_t>(fadt + 88), 4U);       // and its length
  EXPECT_EQ(number<std::uint32_t>(fadt + 64), 0x604U);  // PM1a control block
  EXPECT_EQ(number<std::uint8_t>(fadt + 89), 2U);       // and its length
  EXPECT_EQ(number<std::uint8_t>(fadt + 108), 0x32U);   // the century
  EXPECT_EQ(number<std::uint16_t>(fadt + 109), 0x25U);  // no i8042, VGA, CMOS clock with alarms
  const auto flags = number<std::uint32_t>(fadt + 112);
  EXPECT_NE(flags & 1U << 10, 0U);  // reset register
  EXPECT_EQ(flags & 1U << 20, 0U);  // not hardware-reduced
  EXPECT_EQ(text(fadt + 116, 12), std::string("\x01\x08\x00\x01\x08\x06\0\0\0\0\0\0", 12));
  EXPECT_EQ(number<std::uint8_t>(fadt + 128), 1U);
  EXPECT_EQ(text(fadt + 148, 12), std::string("\x01\x20\x00\x02\x00\x06\0\0\0\0\0\0", 12));
  EXPECT_EQ(text(fadt + 172, 12), std::string("\x01\x10\x00\x02\x04\x06\0\0\0\0\0\0", 12));
}

TEST_F(AcpiTables, HaveAnAlignedFacs) {
  const auto facs = number<std::uint32_t>(table("FACP") + 36);
  EXPECT_EQ(facs % 64, 0U);
  EXPECT_EQ(text(facs, 4), "FACS");
  EXPECT_EQ(number<std::uint32_t>(facs + 4), 64U);
}

TEST_F(AcpiTables, ListEachVcpuAndTheInterruptWiring) {
  build(3);
  const std::uint64_t madt = table("APIC");
  EXPECT_EQ(text(madt + 36, 8), std::string("\x00\x00\xe0\xfe\x01\0\0\0", 8));
  const std::string entries = text(madt + 44, number<std::uint32_t>(madt + 4) - 44);
  EXPECT_EQ(entries, std::string("\x00\x08\x00\x00\x01\0\0\0"
                                 "\x00\x08\x01\x01\x01\0\0\0"
                                 "\x00\x08\x02\x02\x01\0\0\0"
                                 "\x01\x0c\x00\x00\x00\x00\xc0\xfe\0\0\0\0"
                                 "\x02\x0a\x00\x09\x09\0\0\0\x0d\0"
                                 "\x04\x06\xff\0\0\x01",
                                 52));
}

TEST_F(AcpiTables, NameTheDevicesInTheDsdt) {
  const auto dsdt = number<std::uint32_t>(table("FACP") + 40);
  EXPECT_EQ(dsdt, number<std::uint64_t>(table("FACP") + 140));
  EXPECT_EQ(text(dsdt, 4), "DSDT");
  const std::string aml = text(dsdt + 36, number<std::uint32_t>(dsdt + 4) - 36);
  EXPECT_EQ(aml.substr(0, 13), std::string("\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00", 13));
  for (const char* part : {"COM1", "PEVT", "_HID", "_CRS", "QEMU0001"}) {
    EXPECT_NE(aml.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace vmm
