#pragma once

#include <string>
#include <string_view>

#include "migration/base/report.hpp"

namespace ferry {

// A VM that a migration has, or has taken away: what is told of it, what is refused, and when the
// process can end, out of what the migration says. Pure.

struct Leaving {
  migration::Outcome outcome = migration::Outcome::running;
  bool serving = false;  ///< the VM is elsewhere, and pages that it lacks are here
};

/// As `ferry info` calls it.
[[nodiscard]] std::string_view state_of(const Leaving& vm);

/// Why nobody can "pause", "resume" or "migrate" it now.
[[nodiscard]] std::string why_not(std::string_view what, const Leaving& vm);

/// Why `ferry stop` is refused, as it is too late to cancel the migration.
[[nodiscard]] std::string why_no_stop(const Leaving& vm);

/// When a process that is asked to end can do so without harm to the VM.
enum class EndOfLeaving {
  now,            ///< somebody insists, or nobody can know
  image_is_kept,  ///< or given up
  pages_have_gone,
  cancelled,  ///< the migration, if it is not too late for that
};
/// `again`: it was asked before.
[[nodiscard]] EndOfLeaving end_of(const Leaving& vm, bool again);
/// What the process waits for; `cancelled`: it was not too late.
[[nodiscard]] std::string what_end_waits_for(EndOfLeaving end, bool cancelled);

/// The last report of a migration that was not over when the process ended. `cancelled`: nothing
/// has been handed over, nor will be.
[[nodiscard]] migration::MigrationReport report_of_sudden_end(migration::MigrationReport report,
                                                              bool serving, bool cancelled);

}  // namespace ferry
