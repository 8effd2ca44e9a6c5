#pragma once

#include <memory>
#include <string_view>

#include "placement/policy.hpp"

namespace placement {

/// Of names that a user may choose.
inline constexpr std::string_view kPolicyNames = "paper, power-aware, baseline, first-fit";

/// "paper": IdleTogether; "power-aware": PowerAware; "baseline": the same as published;
/// "first-fit": FirstFit. Null for any other name.
[[nodiscard]] std::unique_ptr<Policy> policy_of(std::string_view name);

}  // namespace placement
