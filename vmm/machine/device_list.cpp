#include "vmm/machine/device_list.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace vmm {

bool is_device_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxDeviceId && std::ranges::all_of(id, [](char character) {
    return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9') ||
           character == '-';
  });
}

std::optional<std::string> first_unfit_device(const std::vector<DeviceVersion>& wanted,
                                              const std::vector<DeviceVersion>& here) {
  for (const DeviceVersion& device : wanted) {
    const auto found = std::ranges::find(here, device.id, &DeviceVersion::id);
    if (found == here.end()) {
      return fmt::format("this host has no device {}, which the guest's machine has", device.id);
    }
    if (found->version != device.version) {
      return fmt::format(
          "the state of the guest's device {} is of version {}, and this host has {}", device.id,
          device.version, found->version);
    }
  }
  for (const DeviceVersion& device : here) {
    if (std::ranges::find(wanted, device.id, &DeviceVersion::id) == wanted.end()) {
      return fmt::format("this host's machines have the device {}, which the guest's has not",
                         device.id);
    }
  }
  return std::nullopt;
}

}  // namespace vmm
