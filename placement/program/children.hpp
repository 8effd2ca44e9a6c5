#pragma once

#include <string>
#include <vector>

namespace placement {

/// How a child process ended, and what it wrote.
struct Ended {
  int status = 0;  ///< as a shell has it: 128 and the signal's number for one that was killed
  std::string out;
  std::string err;
};

/// Runs programs at once, each with its arguments, and waits for all of them. SIGINT and SIGTERM
/// are passed on to them: they know how to end well. std::system_error when one cannot be started;
/// then none goes on.
[[nodiscard]] std::vector<Ended> run_at_once(const std::vector<std::vector<std::string>>& commands);

}  // namespace placement
