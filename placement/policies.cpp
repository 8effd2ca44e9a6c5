#include "placement/policies.hpp"

#include "placement/first_fit.hpp"
#include "placement/idle_together.hpp"
#include "placement/power_aware.hpp"

namespace placement {

std::unique_ptr<Policy> policy_of(std::string_view name) {
  if (name == "paper") return std::make_unique<IdleTogether>();
  if (name == "power-aware") return std::make_unique<PowerAware>();
  if (name == "baseline") return std::make_unique<PowerAware>(PowerAware::as_published());
  if (name == "first-fit") return std::make_unique<FirstFit>();
  return nullptr;
}

}  // namespace placement
