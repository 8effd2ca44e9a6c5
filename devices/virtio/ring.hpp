#pragma once

#include <cstddef>
#include <cstdint>

/// The split virtqueue in the guest's memory: virtio 1.2, section 2.7. All numbers are
/// little-endian, as the processor's are.
namespace devices::virtio {

/// An entry of the descriptor table, or of an indirect one.
struct Descriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;
};
static_assert(sizeof(Descriptor) == 16);

// Of a descriptor's flags.
inline constexpr std::uint16_t kDescriptorNext = 1;      ///< `next` is valid
inline constexpr std::uint16_t kDescriptorWrite = 2;     ///< for the device to write; else to read
inline constexpr std::uint16_t kDescriptorIndirect = 4;  ///< it is a table of descriptors

/// What the device has done: `length` bytes were written to the request's memory.
struct UsedElement {
  std::uint32_t head = 0;
  std::uint32_t length = 0;
};
static_assert(sizeof(UsedElement) == 8);

/// The driver's area: flags, index, heads of requests, and when the driver wants an interrupt.
struct DriverArea {
  static constexpr std::uint64_t kAlignment = 2;
  static constexpr std::uint64_t kFlags = 0;
  static constexpr std::uint64_t kIndex = 2;
  static constexpr std::uint64_t kRing = 4;
  static constexpr std::uint16_t kNoInterrupt = 1;  ///< of the flags

  static constexpr std::uint64_t used_event(std::uint16_t size) {
    return kRing + std::uint64_t{size} * sizeof(std::uint16_t);
  }
  static constexpr std::uint64_t bytes(std::uint16_t size) {
    return used_event(size) + sizeof(std::uint16_t);
  }
};

/// The device's area: flags, index, what was done, and when the device wants a notification.
struct DeviceArea {
  static constexpr std::uint64_t kAlignment = 4;
  static constexpr std::uint64_t kFlags = 0;
  static constexpr std::uint64_t kIndex = 2;
  static constexpr std::uint64_t kRing = 4;
  static constexpr std::uint16_t kNoNotify = 1;  ///< of the flags

  static constexpr std::uint64_t available_event(std::uint16_t size) {
    return kRing + std::uint64_t{size} * sizeof(UsedElement);
  }
  static constexpr std::uint64_t bytes(std::uint16_t size) {
    return available_event(size) + sizeof(std::uint16_t);
  }
};

struct DescriptorTable {
  static constexpr std::uint64_t kAlignment = 16;
  static constexpr std::uint64_t bytes(std::uint16_t size) {
    return std::uint64_t{size} * sizeof(Descriptor);
  }
};

}  // namespace devices::virtio
