#include "placement/program/children.hpp"

#include <gtest/gtest.h>

#include <unistd.h>
#include <csignal>
#include <system_error>

namespace placement {
namespace {

TEST(RunAtOnce, TellsWhatEachSaidAndHowItEnded) {
  const auto ended = run_at_once(
      {{"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, {"/bin/sh", "-c", "kill -KILL $$"}});
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_EQ(ended[0].status, 3);
  EXPECT_EQ(ended[0].out, "out\n");
  EXPECT_EQ(ended[0].err, "err\n");
  EXPECT_EQ(ended[1].status, 128 + SIGKILL);
}

TEST(RunAtOnce, RunsThemBesideEachOther) {
  // Each waits for the other.
  const std::string directory = testing::TempDir() + "run-at-once-" + std::to_string(::getpid());
  const std::string make = "mkdir -p " + directory + " && cd " + directory + " && mkfifo p q; ";
  ASSERT_EQ(run_at_once({{"/bin/sh", "-c", make}})[0].status, 0);
  const auto ended =
      run_at_once({{"/bin/sh", "-c", "cd " + directory + " && echo a >p && read x <q"},
                   {"/bin/sh", "-c", "cd " + directory + " && read x <p && echo b >q"}});
  EXPECT_EQ(ended[0].status, 0);
  EXPECT_EQ(ended[1].status, 0);
  static_cast<void>(run_at_once({{"/bin/rm", "-r", directory}}));
}

TEST(RunAtOnce, PassesSignalsOn) {
  const std::string parent = std::to_string(::getpid());
  const auto ended = run_at_once(
      {{"/bin/sh", "-c",
        "trap 'exit 5' TERM; kill -TERM " + parent + "; while :; do sleep 0.01; done"}});
  EXPECT_EQ(ended[0].status, 5);
}

TEST(RunAtOnce, LeavesNoneBehindWhenOneCannotBeStarted) {
  EXPECT_THROW(static_cast<void>(run_at_once({{"/bin/sleep", "1000"}, {"/does/not/exist"}})),
               std::system_error);
}

}  // namespace
}  // namespace placement
