#pragma once

#include "ferry/command_line.hpp"

namespace ferry {

// The commands that talk to a process which has a VM. Each returns the exit status, or throws
// Failure.

/// Shows progress on stderr and the report on stdout. SIGINT and SIGTERM cancel the migration.
[[nodiscard]] int migrate(const MigrateCommand& command);
/// Moves nothing.
[[nodiscard]] int predict(const PredictCommand& command);
[[nodiscard]] int set(const SetCommand& command);
[[nodiscard]] int control(const ControlCommand& command);

}  // namespace ferry
