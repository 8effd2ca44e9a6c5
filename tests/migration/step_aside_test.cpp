#include "migration/pages/step_aside.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

namespace migration {
namespace {

TEST(StepAside, IsOfOneThreadAlone) {
  const int before = ::getpriority(PRIO_PROCESS, 0);
  int there = before;
  std::thread([&there] {
    step_aside();
    there = ::getpriority(PRIO_PROCESS, 0);
  }).join();
  EXPECT_GE(there, 10);
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), before);
}

}  // namespace
}  // namespace migration
