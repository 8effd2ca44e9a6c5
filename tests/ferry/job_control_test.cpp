#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <vector>

#include "ferry/signals.hpp"

namespace ferry {
namespace {

/// What a process reports by its exit status.
constexpr int kToldToStop = 1;
constexpr int kToldToGoOn = 2;

/// A process with job control that gets these signals while it is busy, and then looks after them.
/// It is a job of its own: nobody stops one that has no shell.
class Job {
 public:
  explicit Job(
      const std::vector<int>& signals, const std::function<void()>& first = [] {}) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::setpgid(0, 0);
    first();
    int told = 0;
    boost::asio::io_context context;
    const JobControl control(
        context, [&] { told |= kToldToStop; }, [&] { told |= kToldToGoOn; });
    for (const int number : signals) ::kill(::getpid(), number);
    context.run_for(std::chrono::milliseconds(100));
    ::_exit(told);
  }
  ~Job() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// As waitpid tells of it: that it has stopped, or ended.
  [[nodiscard]] int wait() {
    int status = -1;
    EXPECT_EQ(::waitpid(pid_, &status, WUNTRACED), pid_);
    if (!WIFSTOPPED(status)) pid_ = -1;
    return status;
  }
  void go_on() const { ::kill(pid_, SIGCONT); }

 private:
  pid_t pid_ = -1;
};

TEST(JobControl, StopsBySigtstpAndGoesOnBySigcont) {
  Job job({SIGTSTP});
  ASSERT_TRUE(WIFSTOPPED(job.wait()));
  job.go_on();
  const int status = job.wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kToldToStop | kToldToGoOn);
}

TEST(JobControl, DoesNotStopAProcessThatHasBeenContinuedSince) {
  Job job({SIGTSTP, SIGCONT});
  const int status = job.wait();
  ASSERT_TRUE(WIFEXITED(status)) << "it has stopped, and nobody will continue it";
  EXPECT_EQ(WEXITSTATUS(status), kToldToGoOn);
}

TEST(JobControl, StopsAProcessThatWasContinuedBefore) {
  Job job({SIGCONT, SIGTSTP});
  EXPECT_TRUE(WIFSTOPPED(job.wait()));
}

TEST(JobControl, LeavesIgnoredWhatWasIgnored) {
  Job job({SIGTSTP}, [] { std::signal(SIGTSTP, SIG_IGN); });
  const int status = job.wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ferry
