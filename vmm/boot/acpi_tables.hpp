#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vmm/boot/acpi_platform.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// The ACPI tables of a machine, as they lie in guest memory from `address` on (16-byte aligned,
/// below 4 GiB): the RSDP first, then FACS, DSDT, FADT, MADT and XSDT. A pure function.
///
/// Full ACPI and not the hardware-reduced kind: Linux takes that one for a machine without the
/// legacy interrupt controllers, which this one has.
[[nodiscard]] std::vector<std::byte> acpi_tables(const AcpiPlatform& platform, std::uint32_t cpus,
                                                 std::uint32_t address);

/// Puts them where a guest that is not told searches for the RSDP; the RSDP's address.
[[nodiscard]] std::uint64_t place_acpi_tables(GuestMemory& memory, const AcpiPlatform& platform,
                                              std::uint32_t cpus);

}  // namespace vmm
