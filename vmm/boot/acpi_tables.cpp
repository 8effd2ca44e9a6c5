#include "vmm/boot/acpi_tables.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>

#include "vmm/boot/aml.hpp"
#include "vmm/boot/table_writer.hpp"

namespace vmm {

namespace {

constexpr std::uint64_t kAcpiAt = 0xe0000;
constexpr std::uint32_t kLapicAt = 0xfee00000;
constexpr std::uint32_t kIoapicAt = 0xfec00000;

/// An ACPI table: the common header, then what `body` holds (ACPI specification, section 5.2.6).
std::string table(std::string_view signature, std::uint8_t revision, std::string_view body) {
  constexpr std::uint32_t kHeaderBytes = 36;
  TableWriter out;
  out.text(signature)
      .u32(kHeaderBytes + static_cast<std::uint32_t>(body.size()))
      .u8(revision)
      .u8(0)  // checksum
      .text("FERRY ")
      .text("FERRYVMM")
      .u32(1)
      .text("FRRY")
      .u32(1)
      .text(body);
  return out.checksummed(9);
}

std::string rsdp(std::uint64_t xsdt) {
  constexpr std::uint32_t kBytes = 36;
  TableWriter out;
  out.text("RSD PTR ").u8(0).text("FERRY ").u8(2).u32(0).u32(kBytes).u64(xsdt).u8(0).zeros(3);
  // The first checksum is over the 20 bytes that ACPI 1.0 knew.
  TableWriter first;
  first.text(std::string_view(out.bytes()).substr(0, 20));
  TableWriter whole;
  whole.text(first.checksummed(8)).text(std::string_view(out.bytes()).substr(20));
  return whole.checksummed(32);
}

std::string xsdt(std::initializer_list<std::uint64_t> tables) {
  TableWriter out;
  for (const std::uint64_t address : tables) out.u64(address);
  return table("XSDT", 1, out.bytes());
}

/// The waking vectors and the global lock: there, and never used.
std::string facs() {
  constexpr std::uint32_t kBytes = 64;
  TableWriter out;
  out.text("FACS").u32(kBytes).zeros(24).u8(2);
  return out.padded(kBytes);
}

std::string fadt(const AcpiPlatform& platform, std::uint32_t facs, std::uint32_t dsdt) {
  constexpr std::uint8_t kEventBytes = 4;
  constexpr std::uint8_t kControlBytes = 2;
  constexpr std::uint16_t kNoC2OrC3 = 0xfff;
  // Devices on the ISA bus (the serial port); no i8042, no VGA, and no CMOS clock: there is one to
  // read, which Linux does all the same, but to a driver it would promise alarms, at an IRQ 8 that
  // Linux does not ask about.
  constexpr std::uint16_t kBootArch = 1U << 0 | 1U << 2 | 1U << 5;
  // WBINVD, C1; neither power nor sleep button nor RTC wake-up; the reset register.
  constexpr std::uint32_t kFlags = 1U << 0 | 1U << 2 | 1U << 4 | 1U << 5 | 1U << 6 | 1U << 10;
  TableWriter out;
  out.u32(facs).u32(dsdt).zeros(2).u16(platform.sci);
  out.zeros(8);  // no SMI command: always in ACPI mode
  out.u32(platform.pm_event_ports).u32(0).u32(platform.pm_control_ports).zeros(20);
  out.u8(kEventBytes).u8(kControlBytes).zeros(6);
  out.u16(kNoC2OrC3).u16(kNoC2OrC3).zeros(8);
  out.u8(platform.century).u16(kBootArch).u8(0).u32(kFlags);
  out.ports(platform.reset_port, 1).u8(platform.reset_value);
  out.zeros(2).u8(0);  // ARM; minor revision
  out.u64(0).u64(dsdt);
  out.ports(platform.pm_event_ports, kEventBytes).zeros(12);
  out.ports(platform.pm_control_ports, kControlBytes).zeros(12);
  return table("FACP", 6, out.padded(276 - 36));
}

std::string madt(const AcpiPlatform& platform, std::uint32_t cpus) {
  constexpr std::uint32_t kAlso8259 = 1;
  constexpr std::uint32_t kEnabled = 1;
  constexpr std::uint16_t kHighLevel = 0xd;
  constexpr std::uint8_t kAllCpus = 0xff;
  TableWriter out;
  out.u32(kLapicAt).u32(kAlso8259);
  for (std::uint32_t i = 0; i < cpus; ++i) {
    const auto id = static_cast<std::uint8_t>(i);
    out.u8(0).u8(8).u8(id).u8(id).u32(kEnabled);
  }
  out.u8(1).u8(12).u8(0).u8(0).u32(kIoapicAt).u32(0);
  // KVM wires every ISA interrupt, the PIT's too, to the pin of its own number: only how the SCI
  // is triggered differs from what ISA implies.
  out.u8(2).u8(10).u8(0).u8(platform.sci).u32(platform.sci).u16(kHighLevel);
  out.u8(4).u8(6).u8(kAllCpus).u16(0).u8(1);  // NMI at LINT1
  return table("APIC", 4, out.bytes());
}

/// Bus 0, whose devices interrupt by message alone.
std::string pci_bus(const AcpiWindow& window) {
  const std::string resources = aml::bus_numbers(0, 0) + aml::io_ports(0xcf8, 8) +
                                aml::memory_window(static_cast<std::uint32_t>(window.base),
                                                   static_cast<std::uint32_t>(window.bytes));
  return aml::device("PCI0", aml::name("_HID", aml::hardware_id("PNP0A03")) +
                                 aml::name("_UID", aml::integer(0)) +
                                 aml::name("_BBN", aml::integer(0)) +
                                 aml::name("_CRS", aml::resources(resources)));
}

std::string dsdt(const AcpiPlatform& platform) {
  std::string devices;
  for (const AcpiDevice& device : platform.devices) {
    std::string resources = aml::io_ports(device.ports, device.port_count);
    if (device.irq != 0) resources += aml::edge_interrupt(device.irq);
    devices += aml::device(device.name, aml::name("_HID", aml::hardware_id(device.hardware_id)) +
                                            aml::name("_CRS", aml::resources(resources)));
  }
  if (platform.pci_window) devices += pci_bus(*platform.pci_window);
  const std::string off = aml::integer(platform.soft_off);
  const std::string none = aml::integer(0);
  return table(
      "DSDT", 2,
      aml::name("_S5_", aml::package({off, off, none, none})) + aml::scope("_SB_", devices));
}

}  // namespace

std::vector<std::byte> acpi_tables(const AcpiPlatform& platform, std::uint32_t cpus,
                                   std::uint32_t address) {
  constexpr std::size_t kAlignment = 64;  // of the FACS
  TableWriter out;
  const auto add = [&](const std::string& bytes) {
    const auto at = static_cast<std::uint32_t>(address + out.bytes().size());
    out.text(bytes).align(kAlignment);
    return at;
  };
  add(rsdp(0));  // its pointer is known at the end
  const std::uint32_t facs_at = add(facs());
  const std::uint32_t dsdt_at = add(dsdt(platform));
  const std::uint32_t fadt_at = add(fadt(platform, facs_at, dsdt_at));
  const std::uint32_t madt_at = add(madt(platform, cpus));
  const std::string first = rsdp(add(xsdt({fadt_at, madt_at})));
  std::string bytes = out.bytes();
  bytes.replace(0, first.size(), first);
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

std::uint64_t place_acpi_tables(GuestMemory& memory, const AcpiPlatform& platform,
                                std::uint32_t cpus) {
  const auto tables = acpi_tables(platform, cpus, kAcpiAt);
  std::ranges::copy(tables, memory.at(GuestAddress{kAcpiAt}, tables.size()).begin());
  return kAcpiAt;
}

}  // namespace vmm
