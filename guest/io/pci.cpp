#include "guest/io/pci.hpp"

#include "guest/cpu/lapic.hpp"
#include "guest/cpu/service.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kAddressPort = 0xcf8;
constexpr std::uint16_t kDataPort = 0xcfc;
constexpr std::uint32_t kAddressEnable = 1u << 31;

constexpr std::uint32_t kIds = 0x00;
constexpr std::uint32_t kNobody = 0xffff'ffff;  // of the numbers
constexpr std::uint32_t kCommand = 0x04;        // and, above it, the status
constexpr std::uint32_t kHeaderType = 0x0e;
constexpr std::uint32_t kBars = 0x10;
constexpr std::uint32_t kFirstCapability = 0x34;

constexpr std::uint32_t kCommandMemory = 1u << 1;
constexpr std::uint32_t kCommandMaster = 1u << 2;
constexpr std::uint32_t kStatusCapabilities = 1u << 20;
constexpr std::uint8_t kSeveralFunctions = 0x80;

constexpr std::uint32_t kBarPorts = 1;
constexpr std::uint32_t kBarType = 6;
constexpr std::uint32_t kBar64 = 4;
constexpr std::uint32_t kBarFlags = 0xf;
constexpr std::uint8_t kBarCount = 6;

constexpr std::uint8_t kMsix = 0x11;
constexpr std::uint32_t kMsixEnable = 1u << 31;
constexpr std::uint32_t kMsixMaskAll = 1u << 30;
constexpr std::uint32_t kMsixEntryBytes = 16;

constexpr std::uint32_t kDevices = 32;
constexpr std::uint32_t kFunctions = 8;

}  // namespace

bool PciFunction::find(std::uint16_t vendor, std::uint16_t device) {
  const std::uint32_t wanted = vendor | std::uint32_t{device} << 16;
  for (std::uint32_t slot = 0; slot < kDevices; ++slot) {
    address_ = kAddressEnable | slot << 11;
    if (read(kIds) == kNobody) continue;
    const bool several = (read8(kHeaderType) & kSeveralFunctions) != 0;
    for (std::uint32_t function = 0; function < (several ? kFunctions : 1); ++function) {
      address_ = kAddressEnable | slot << 11 | function << 8;
      if (read(kIds) == wanted) return true;
    }
  }
  return false;
}

std::uint32_t PciFunction::read(std::uint32_t offset) const {
  out32(kAddressPort, address_ | offset);
  return in32(kDataPort);
}

void PciFunction::write(std::uint32_t offset, std::uint32_t value) const {
  out32(kAddressPort, address_ | offset);
  out32(kDataPort, value);
}

std::uint8_t PciFunction::read8(std::uint32_t offset) const {
  return static_cast<std::uint8_t>(read(offset & ~3u) >> offset % 4 * 8);
}

void PciFunction::enable() const {
  // Ones in the status would clear what it holds.
  write(kCommand, (read(kCommand) & 0xffff) | kCommandMemory | kCommandMaster);
}

std::uint8_t PciFunction::find_capability(std::uint8_t id, std::uint8_t after) const {
  if ((read(kCommand) & kStatusCapabilities) == 0) return 0;
  std::uint8_t offset = read8(after == 0 ? kFirstCapability : after + 1u);
  for (int i = 0; i < kMostCapabilities; ++i) {
    offset &= 0xfc;
    if (offset == 0 || read8(offset) == id) return offset;
    offset = read8(offset + 1u);
  }
  return 0;
}

std::uint64_t PciFunction::map(std::uint8_t bar, std::uint32_t offset, std::uint32_t bytes,
                               MemoryMap& memory) const {
  if (bar >= kBarCount) return 0;
  const std::uint32_t low = read(kBars + bar * 4u);
  if ((low & kBarPorts) != 0) return 0;
  std::uint64_t address = low & ~kBarFlags;
  if ((low & kBarType) == kBar64) address |= std::uint64_t{read(kBars + bar * 4u + 4)} << 32;
  if (address == 0 || !memory.map_device(address + offset, bytes)) return 0;
  return address + offset;
}

bool PciFunction::enable_msix(std::uint8_t vector, MemoryMap& memory) const {
  const std::uint8_t capability = find_capability(kMsix);
  if (capability == 0) return false;
  const std::uint32_t table = read(capability + 4u);
  const std::uint64_t address = map(table & 7, table & ~7u, kMsixEntryBytes, memory);
  if (address == 0) return false;
  auto* entry = reinterpret_cast<volatile std::uint32_t*>(address);
  entry[0] = lapic_message_address();
  entry[1] = 0;
  entry[2] = vector;
  entry[3] = 0;  // not masked
  write(capability, (read(capability) & ~kMsixMaskAll) | kMsixEnable);
  return true;
}

}  // namespace guest
