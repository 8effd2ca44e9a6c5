#pragma once

#include "tests/migration/handover/step.hpp"

namespace migration::handover::model {

/// Two owners, or a guest that runs again after its end, though no operator said what is false.
[[nodiscard]] const char* judge_owners(const World& world);

/// What must never be, in one world by itself: two owners, a VM that nobody has, advice that is not
/// true, a wish that is granted or refused where it should not be. Null: all is well.
[[nodiscard]] const char* judge(const Tables& tables, const World& world);

/// Whether both sides are done with the handover.
[[nodiscard]] bool is_settled(const World& world);

/// Whether it went as it should: the VM is there, and both sides know it.
[[nodiscard]] bool has_succeeded(const World& world);

}  // namespace migration::handover::model
