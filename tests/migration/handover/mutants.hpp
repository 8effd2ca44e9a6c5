#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/migration/handover/explore.hpp"

namespace migration::handover::model {

/// A table that differs from the program's by one thing, and what that is, in words.
struct Mutant {
  std::string what;
  Tables tables;
};

/// What a stage says of the owner, or of force, changed; every rule dropped, every action dropped,
/// every rule with every other stage as its next; and every event that may come in a stage where no
/// rule is for it allowed there, as it is in any other stage. `happens`: what comes to a table
/// without a fault in it. Wishes and times may come at any time.
[[nodiscard]] std::vector<Mutant> mutants(const Coverage& happens);

/// What comes to the program's tables within the bounds, in pre-copy and in post-copy, without a
/// disk and with one.
[[nodiscard]] Coverage what_happens(const Bounds& bounds);

/// Whether nothing is found wrong with the mutant, in any of these; with few faults first, as most
/// are found so.
[[nodiscard]] bool survives(const Mutant& mutant, const Bounds& bounds);

}  // namespace migration::handover::model
