#include "vmm/machine/scheduling.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <thread>

namespace vmm {
namespace {

/// In a thread of its own: what is asked for is for good.
template <typename Task>
void in_a_thread(Task task) {
  std::thread(task).join();
}

int nice_value() { return ::getpriority(PRIO_PROCESS, 0); }

/// The calling thread's slice in nanoseconds; 0 where the kernel does not tell.
std::uint64_t slice() {
  std::array<std::uint64_t, 6> attributes{};  // struct sched_attr, of which the fourth is the slice
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, attributes.data(), sizeof(attributes), 0U), 0)
      << std::strerror(errno);
  return attributes[3];
}

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
    wake_promptly();
    EXPECT_EQ(nice_value(), 15);
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

}  // namespace
}  // namespace vmm
