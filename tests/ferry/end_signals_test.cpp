#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>

#include "ferry/signals.hpp"

namespace ferry {
namespace {

constexpr int kRotated = 1;
constexpr int kTimedOut = 2;
constexpr int kHungUp = 128 + SIGHUP;
constexpr int kInterrupted = 128 + SIGINT;

/// What a process without a terminal does that gets `number`: its exit status. `has_file`: its
/// output goes to one.
int without_terminal(int number, bool has_file) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setsid();
    const int nothing = ::open("/dev/null", O_RDWR);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing, fd);
    int status = kTimedOut;
    boost::asio::io_context context;
    const EndSignals signals(
        context,
        [&] {
          if (has_file) status = kRotated;
          return has_file;
        },
        [&](int wanted) { status = wanted; });
    ::kill(::getpid(), number);
    context.run_for(std::chrono::milliseconds(100));
    ::_exit(status);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ASignalToEnd, GivesTheStatusThatAShellHasForIt) {
  EXPECT_EQ(without_terminal(SIGINT, true), kInterrupted);
  EXPECT_EQ(without_terminal(SIGHUP, false), kHungUp);
}

TEST(ASignalToEnd, RotatesALogWhereNoTerminalCanHangUp) {
  EXPECT_EQ(without_terminal(SIGHUP, true), kRotated);
}

}  // namespace
}  // namespace ferry
