#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "devices/virtio/queue.hpp"

namespace devices::virtio {

/// The driver's side of a queue, in a guest memory without a guest. It can also break every rule.
class Driver {
 public:
  static constexpr std::uint16_t kSize = 8;
  static constexpr std::uint64_t kData = 0x10000;  ///< from here on the requests' memory

  explicit Driver(vmm::GuestMemory& memory) : memory_(memory) {}

  [[nodiscard]] static QueueState state() {
    return {.size = kSize, .descriptors = 0x1000, .driver_area = 0x2000, .device_area = 0x3000};
  }

  template <typename Value>
  void put(std::uint64_t address, Value value) {
    std::memcpy(memory_.at({address}, sizeof(value)).data(), &value, sizeof(value));
  }
  template <typename Value>
  [[nodiscard]] Value get(std::uint64_t address) {
    Value value{};
    std::memcpy(&value, memory_.at({address}, sizeof(value)).data(), sizeof(value));
    return value;
  }

  void describe(std::uint16_t index, const Descriptor& descriptor) {
    put(state().descriptors + index * sizeof(descriptor), descriptor);
  }
  /// A chain of the table's first descriptors.
  void describe(const std::vector<Descriptor>& chain) {
    std::uint16_t index = 0;
    for (const Descriptor& descriptor : chain) describe(index++, descriptor);
  }
  void offer(std::uint16_t head) {
    put(state().driver_area + DriverArea::kRing + std::uint64_t{2} * (offered_ % kSize), head);
    set_index(static_cast<std::uint16_t>(offered_ + 1));
  }
  void set_index(std::uint16_t index) {
    offered_ = index;
    // A device may be looking.
    const auto place = memory_.at({state().driver_area + DriverArea::kIndex}, sizeof(index));
    std::atomic_ref(*reinterpret_cast<std::uint16_t*>(place.data())).store(index);
  }
  void set_flags(std::uint16_t flags) { put(state().driver_area + DriverArea::kFlags, flags); }
  void set_used_event(std::uint16_t event) {
    put(state().driver_area + DriverArea::used_event(kSize), event);
  }

  [[nodiscard]] std::uint16_t used() {
    return get<std::uint16_t>(state().device_area + DeviceArea::kIndex);
  }
  [[nodiscard]] UsedElement used_element(std::uint16_t number) {
    return get<UsedElement>(state().device_area + DeviceArea::kRing +
                            std::uint64_t{number} % kSize * sizeof(UsedElement));
  }
  [[nodiscard]] std::uint16_t device_flags() {
    return get<std::uint16_t>(state().device_area + DeviceArea::kFlags);
  }
  [[nodiscard]] std::uint16_t available_event() {
    return get<std::uint16_t>(state().device_area + DeviceArea::available_event(kSize));
  }

 private:
  vmm::GuestMemory& memory_;
  std::uint16_t offered_ = 0;
};

}  // namespace devices::virtio
