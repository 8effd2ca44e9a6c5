#include "vmm/machine/bus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace vmm {

void Bus::attach(std::shared_ptr<Device> device, std::uint64_t base, std::uint64_t length) {
  const auto next = std::ranges::upper_bound(ranges_, base, {}, &Range::base);
  const bool hits_next = next != ranges_.end() && next->base - base < length;
  const bool hits_previous =
      next != ranges_.begin() && base - std::prev(next)->base < std::prev(next)->length;
  if (length == 0 || hits_next || hits_previous) {
    throw std::invalid_argument(fmt::format("device {} cannot have 0x{:x}+0x{:x}: empty or taken",
                                            device->id(), base, length));
  }
  ranges_.insert(next, {base, length, std::move(device)});
}

const Bus::Range* Bus::find(std::uint64_t address, std::size_t size) const {
  const auto next = std::ranges::upper_bound(ranges_, address, {}, &Range::base);
  if (next == ranges_.begin()) return nullptr;
  const Range& range = *std::prev(next);
  const std::uint64_t offset = address - range.base;
  return offset < range.length && size <= range.length - offset ? &range : nullptr;
}

void Bus::read(std::uint64_t address, std::span<std::byte> data) const {
  if (const Range* range = find(address, data.size())) {
    range->device->read(address - range->base, data);
  } else {
    std::ranges::fill(data, std::byte{0xff});
  }
}

void Bus::write(std::uint64_t address, std::span<const std::byte> data) const {
  if (const Range* range = find(address, data.size())) {
    range->device->write(address - range->base, data);
  }
}

}  // namespace vmm
