#include "placement/program/children.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace placement {
namespace {

using Commands = std::vector<std::vector<std::string>>;

std::vector<std::string> shell(std::string script) { return {"/bin/sh", "-c", std::move(script)}; }

const std::string kKillParent = "kill -TERM " + std::to_string(::getpid()) + "; ";

/// Of SIGCHLD, for a while.
class Disposition {
 public:
  Disposition(void (*handler)(int), int flags) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    ::sigaction(SIGCHLD, &action, &before_);
  }
  ~Disposition() { ::sigaction(SIGCHLD, &before_, nullptr); }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;

 private:
  struct sigaction before_ {};
};

TEST(ChildRunner, TellsWhatEachSaidAndHowItEnded) {
  const Ran ran =
      ChildRunner().run({shell("echo out; echo err >&2; exit 3"), shell("kill -KILL $$")});
  ASSERT_EQ(ran.ended.size(), 2U);
  EXPECT_EQ(ran.ended[0]->status, 3);
  EXPECT_EQ(ran.ended[0]->out, "out\n");
  EXPECT_EQ(ran.ended[0]->err, "err\n");
  EXPECT_EQ(ran.ended[1]->status, 128 + SIGKILL);
  EXPECT_EQ(ran.signal, 0);
}

TEST(ChildRunner, RunsThemBesideEachOther) {
  // Each waits for the other.
  const std::string directory = testing::TempDir() + "run-at-once-" + std::to_string(::getpid());
  const std::string enter = "cd " + directory;
  ChildRunner runner;
  ASSERT_EQ(runner.run({shell("mkdir -p " + directory + " && " + enter + " && mkfifo p q")})
                .ended[0]
                ->status,
            0);
  const Ran ran = runner.run(
      {shell(enter + " && echo a >p && read x <q"), shell(enter + " && read x <p && echo b >q")});
  EXPECT_EQ(ran.ended[0]->status, 0);
  EXPECT_EQ(ran.ended[1]->status, 0);
  static_cast<void>(runner.run({{"/bin/rm", "-r", directory}}));
}

TEST(ChildRunner, PassesSignalsOn) {
  const Ran ran = ChildRunner().run(
      {shell("trap 'exit 5' TERM; " + kKillParent + "while :; do sleep 0.01; done")});
  EXPECT_EQ(ran.ended[0]->status, 5);
  EXPECT_EQ(ran.signal, SIGTERM);
}

TEST(ChildRunner, TellsOfASignalThatNobodyMinded) {
  EXPECT_EQ(ChildRunner().run({shell("trap '' TERM; " + kKillParent)}).signal, SIGTERM);
}

TEST(ChildRunner, StartsNoneAfterASignal) {
  ChildRunner runner;
  ::raise(SIGTERM);
  const Ran ran = runner.run({{"/bin/true"}});
  EXPECT_EQ(ran.signal, SIGTERM);
  EXPECT_FALSE(ran.ended.at(0).has_value());
}

TEST(ChildRunner, LeavesASignalAloneThatIsIgnored) {
  const auto before = std::signal(SIGTERM, SIG_IGN);
  EXPECT_EQ(ChildRunner().run({shell(kKillParent)}).signal, 0);
  std::signal(SIGTERM, before);
}

TEST(ChildRunner, GoesOnWhenOneCannotBeStarted) {
  const Ran ran = ChildRunner().run({shell("echo a"), {"/does/not/exist"}, shell("echo b")});
  EXPECT_EQ(ran.ended[0]->out, "a\n");
  EXPECT_EQ(ran.ended[1]->status, 71);
  EXPECT_EQ(ran.ended[1]->err, "cannot start /does/not/exist: No such file or directory");
  EXPECT_EQ(ran.ended[2]->out, "b\n");
}

TEST(ChildRunner, RunsMoreThanThereAreDescriptorsFor) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 32, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const Ran ran = ChildRunner().run(Commands(100, {"/bin/true"}));
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(std::ranges::count_if(ran.ended, [](const auto& ended) { return ended->status == 0; }),
            100);
}

TEST(ChildRunner, HearsOfChildrenThoughTheyWereIgnored) {
  const Disposition ignored(SIG_IGN, 0);
  EXPECT_EQ(ChildRunner().run({shell("exit 3")}).ended[0]->status, 3);
}

TEST(ChildRunner, SaysThatAnEndIsNotKnown) {
  ChildRunner runner;
  const Disposition nobody_waits(SIG_DFL, SA_NOCLDWAIT);
  const Ran ran = runner.run({{"/bin/true"}});
  EXPECT_EQ(ran.ended[0]->status, 71);
  EXPECT_NE(ran.ended[0]->err.find("ended is not known: No child processes"), std::string::npos);
}

}  // namespace
}  // namespace placement
