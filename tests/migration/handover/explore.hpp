#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "tests/migration/handover/moves.hpp"

namespace migration::handover::model {

/// How it came to what must not be: one move a line.
struct Counterexample {
  std::string what;
  std::string trace;
};

struct Exploration {
  std::size_t states = 0;
  std::size_t transitions = 0;
  Coverage coverage;
  std::optional<Counterexample> wrong;  ///< a shortest one; nothing more was explored then
};

/// Looks at every world that can be reached, breadth first, and then whether from each in which
/// both sides live the handover comes to its end when nothing goes wrong any more, in whatever
/// order things happen.
[[nodiscard]] Exploration explore(const Tables& tables, const Bounds& bounds);

}  // namespace migration::handover::model
