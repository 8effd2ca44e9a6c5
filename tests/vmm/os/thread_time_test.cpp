#include "vmm/os/thread_time.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace vmm {
namespace {

using namespace std::chrono_literals;

TEST(ThreadTime, CountsWhatTheThreadDoes) {
  std::jthread([] {
    const ThreadTime time;
    const double before = time.spent().ran;
    while (time.spent().ran < before + 0.01) {
    }
    SUCCEED();
  });
}

TEST(ThreadTime, CountsNeitherSleepNorOtherThreads) {
  std::jthread([] {
    const ThreadTime time;
    const ThreadTime::Spent before = time.spent();
    std::jthread([] {
      const auto end = std::chrono::steady_clock::now() + 50ms;
      while (std::chrono::steady_clock::now() < end) {
      }
    }).join();
    EXPECT_LT(time.spent().ran - before.ran, 0.025);
  });
}

}  // namespace
}  // namespace vmm
