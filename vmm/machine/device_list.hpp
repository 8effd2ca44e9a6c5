#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmm {

inline constexpr std::size_t kMaxDevices = 64;
inline constexpr std::size_t kMaxDeviceId = 64;  ///< bytes

/// A device of a machine, as its configuration lists it.
struct DeviceVersion {
  std::string id;
  std::uint32_t version = 1;   ///< of its saved state
  std::string host_part = {};  ///< see Device::host_part()

  bool operator==(const DeviceVersion&) const = default;
};

/// Whether a configuration may list it: 1 to kMaxDeviceId lower-case letters, digits and "-".
[[nodiscard]] bool is_device_id(std::string_view id);

/// Why a guest of a machine with the devices `wanted` cannot go on in one with the devices `here`;
/// names one device. Nullopt when it can: both have the same ones, in the same versions, as a
/// device loads no other version yet. The order means nothing.
[[nodiscard]] std::optional<std::string> first_unfit_device(
    const std::vector<DeviceVersion>& wanted, const std::vector<DeviceVersion>& here);

}  // namespace vmm
