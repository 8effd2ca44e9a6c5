#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "placement/fleet.hpp"
#include "placement/plan.hpp"

namespace placement {

// The forms that `ferry plan` reads and prints: docs/placement.md.

/// What is wrong with a file, and with which field of it.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr std::size_t kMaxFileBytes = 256 << 20;
inline constexpr std::size_t kMaxHosts = 100'000;
inline constexpr std::size_t kMaxVms = 1'000'000;
inline constexpr std::size_t kMaxName = 255;  ///< bytes

/// InputError when the text is none.
[[nodiscard]] Fleet fleet_from_json(std::string_view text);

[[nodiscard]] nlohmann::json plan_to_json(const Fleet& fleet, const Plan& plan);

}  // namespace placement
