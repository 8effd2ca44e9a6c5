#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <vector>

namespace placement {

/// How a child process ended, and what it wrote.
struct Ended {
  int status = 0;  ///< as a shell has it: 128 and the signal's number for one that was killed
  std::string out;
  std::string err;
};

/// What became of programs that were to run at once.
struct Ran {
  /// One for each, in their order; none for a program that was not started for the signal.
  std::vector<std::optional<Ended>> ended;
  int signal = 0;  ///< SIGINT or SIGTERM, if one came
};

/// Runs programs at once, and takes SIGINT and SIGTERM as long as it is there, unless this process
/// was started to ignore them. They are passed on to those that run, which know how to end well,
/// and no further one is started. A signal that comes while none runs counts for the next run.
class ChildRunner {
 public:
  ChildRunner();
  ~ChildRunner();
  ChildRunner(const ChildRunner&) = delete;
  ChildRunner& operator=(const ChildRunner&) = delete;

  /// Each command is a program and its arguments. Waits for all of them; many run some at a time.
  /// One that cannot be started has ended with 71 and says why, and the others go on.
  [[nodiscard]] Ran run(const std::vector<std::vector<std::string>>& commands);

 private:
  [[nodiscard]] int take_signal(bool wait) const;

  sigset_t signals_{};
  sigset_t mask_before_{};
  struct sigaction children_before_ {};
};

}  // namespace placement
