#pragma once

#include <vector>

#include "tests/migration/handover/step.hpp"

namespace migration::handover::model {

/// A fault that the protocol had: the rules as they amounted to before, and what comes of it.
struct KnownFault {
  const char* name = nullptr;
  const char* wrong = nullptr;   ///< what the model says first
  const char* owners = nullptr;  ///< and what becomes of the VM; null: nobody runs it twice
  Tables tables;
};

[[nodiscard]] std::vector<KnownFault> known_faults();

}  // namespace migration::handover::model
