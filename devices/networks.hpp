#pragma once

#include <functional>
#include <string>

#include "devices/network_choice.hpp"
#include "devices/standard.hpp"
#include "vmm/machine/device_list.hpp"

namespace devices {

/// A device for a guest that starts here. std::system_error when there is no such network, which is
/// not taken yet.
[[nodiscard]] PciDevice network_device(const NetworkChoice& network,
                                       std::function<void(std::string)> report);

/// The device of a guest that comes from elsewhere: `wanted` has a network of `parts`, by its id.
/// std::invalid_argument or std::system_error that says what it lacks here.
[[nodiscard]] PciDevice network_device_for(const vmm::DeviceVersion& wanted,
                                           const HostParts& parts);

}  // namespace devices
