#include "vmm/os/scheduling.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace vmm {
namespace {

/// In a thread of its own: what is asked for is for good.
template <typename Task>
void in_a_thread(Task task) {
  std::thread(task).join();
}

int policy() { return ::sched_getscheduler(0); }

int nice_value() { return ::getpriority(PRIO_PROCESS, 0); }

/// The calling thread's slice in nanoseconds; 0 where the kernel does not tell.
std::uint64_t slice() {
  std::array<std::uint64_t, 6> attributes{};  // struct sched_attr, of which the fourth is the slice
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, attributes.data(), sizeof(attributes), 0U), 0)
      << std::strerror(errno);
  return attributes[3];
}

const std::array<std::function<void()>, 3> kWakes{wake_promptly, wake_first,
                                                  [] { EXPECT_FALSE(wake_at_once()); }};

TEST(Scheduling, StepsAsideAlone) {
  const int before = nice_value();
  in_a_thread([] {
    step_aside();
    EXPECT_GE(nice_value(), 10);
  });
  EXPECT_EQ(nice_value(), before);
}

TEST(Scheduling, NeverRaisesItself) {
  in_a_thread([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 15), 0);
    step_aside();
    EXPECT_EQ(nice_value(), 15);
    for (const auto& wake : kWakes) {
      wake();
      EXPECT_EQ(nice_value(), 15);
      EXPECT_EQ(policy(), SCHED_OTHER);
    }
  });
}

TEST(Scheduling, WakesPromptlyByAShortSlice) {
  if (slice() == 0) GTEST_SKIP() << "this kernel has no slices (Linux 6.12)";
  in_a_thread([] {
    const int before = nice_value();
    wake_promptly();
    EXPECT_EQ(slice(), 100'000U);
    EXPECT_EQ(nice_value(), before);
  });
}

TEST(Scheduling, WakesFirstByTheHighestNiceValue) {
  if (nice_value() != 0) GTEST_SKIP() << "the nice value of the tests is not 0";
  in_a_thread([] {
    const bool permitted = ::setpriority(PRIO_PROCESS, 0, -20) == 0;
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, 0));
    wake_first();
    EXPECT_EQ(nice_value(), permitted ? -20 : 0);
    EXPECT_EQ(policy(), permitted ? SCHED_OTHER | SCHED_RESET_ON_FORK : SCHED_OTHER);
    in_a_thread([] { EXPECT_EQ(nice_value(), 0); });
  });
}

TEST(Scheduling, WakesFirstForAWhile) {
  in_a_thread([nice = nice_value(), before = slice()] {
    {
      const WakesFirst first;
      in_a_thread([nice] { EXPECT_EQ(nice_value(), nice); });
    }
    EXPECT_EQ(nice_value(), nice);
    EXPECT_EQ(policy(), SCHED_OTHER);
    EXPECT_EQ(slice(), before);
    in_a_thread([nice] { EXPECT_EQ(nice_value(), nice); });
  });
}

TEST(Scheduling, WakesAtOnceAsARealTimeThreadWhoseChildrenAreNot) {
  if (nice_value() != 0) GTEST_SKIP() << "the nice value of the tests is not 0";
  bool permitted = false;
  in_a_thread([&permitted] {
    const sched_param lowest{.sched_priority = 1};
    permitted = ::sched_setscheduler(0, SCHED_FIFO, &lowest) == 0;
  });
  in_a_thread([permitted] {
    EXPECT_EQ(wake_at_once(), permitted);
    EXPECT_EQ(policy(), permitted ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER);
    in_a_thread([] { EXPECT_EQ(policy(), SCHED_OTHER); });
  });
}

TEST(Scheduling, LeavesAThreadOfAnotherPolicyAlone) {
  in_a_thread([before = nice_value()] {
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_BATCH, &none), 0) << std::strerror(errno);
    for (const auto& wake : kWakes) {
      wake();
      EXPECT_EQ(policy(), SCHED_BATCH);
      EXPECT_EQ(nice_value(), before);
    }
  });
}

/// The processors that the calling thread may run on; none where there are too many to tell.
std::vector<int> allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  static_cast<void>(::sched_getaffinity(0, sizeof(set), &set));
  std::vector<int> processors;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) processors.push_back(i);
  }
  return processors;
}

TEST(Scheduling, MovesToAnyProcessorAndIsNotKeptThere) {
  in_a_thread([before = allowed()] {
    const bool stays = wake_at_once();
    for (const int processor : before) {
      bool there = false;
      // Whoever goes before this thread may push it away again.
      for (int tries = 0; tries < 100 && !there; ++tries) {
        EXPECT_TRUE(move_to(processor));
        there = ::sched_getcpu() == processor;
      }
      EXPECT_TRUE(there || !stays) << processor;
      EXPECT_EQ(allowed(), before);
    }
  });
}

/// The calling thread may run on this processor alone.
void stay_on(int processor) {
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(static_cast<unsigned>(processor), &there);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(there), &there), 0) << std::strerror(errno);
}

TEST(Scheduling, MovesNowhereElseThanWhereItMayRun) {
  in_a_thread([] {
    std::vector<int> before = allowed();
    if (before.empty()) GTEST_SKIP() << "more processors than the C library counts";
    stay_on(before.front());
    before = allowed();
    for (const int processor : {-1, before.front() + 1, CPU_SETSIZE - 1, CPU_SETSIZE}) {
      EXPECT_FALSE(move_to(processor));
      EXPECT_EQ(allowed(), before);
    }
  });
}

std::vector<int> without(std::vector<int> processors, int one) {
  std::erase(processors, one);
  return processors;
}

TEST(Scheduling, KeepsOffOneProcessorAtATime) {
  in_a_thread([before = allowed()] {
    if (before.size() < 2) GTEST_SKIP() << "there is one processor";
    keep_off(before.front());
    EXPECT_EQ(allowed(), without(before, before.front()));
    keep_off(before.back());
    EXPECT_EQ(allowed(), without(before, before.back()));
    keep_off(CPU_SETSIZE);
    EXPECT_EQ(allowed(), before);
    keep_off(before.front());
    keep_off(-1);
    EXPECT_EQ(allowed(), before);
  });
}

TEST(Scheduling, StaysWhereItIsGivenOneProcessorAlone) {
  in_a_thread([before = allowed()] {
    if (before.empty()) GTEST_SKIP() << "more processors than the C library counts";
    stay_on(before.front());
    keep_off(before.front());
    EXPECT_EQ(allowed(), std::vector{before.front()});
    keep_off(-1);
    EXPECT_EQ(allowed(), std::vector{before.front()});
  });
}

TEST(Scheduling, KeepsWhatSomebodyElseGaveItMeanwhile) {
  in_a_thread([before = allowed()] {
    if (before.size() < 2) GTEST_SKIP() << "there is one processor";
    keep_off(before.front());
    stay_on(before.front());
    keep_off(-1);
    EXPECT_EQ(allowed(), std::vector{before.front()});
  });
}

}  // namespace
}  // namespace vmm
