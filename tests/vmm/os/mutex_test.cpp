#include "vmm/os/mutex.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace vmm {
namespace {

struct Counter {
  Mutex mutex;
  Condition changed;
  int value FERRY_GUARDED_BY(mutex) = 0;

  void add() {
    const Lock lock(mutex);
    ++value;
    changed.notify_all();
  }
};

TEST(Mutex, LetsOneThreadInAtATime) {
  Counter counter;
  const auto add = [&] {
    for (int i = 0; i < 10'000; ++i) counter.add();
  };
  std::thread other(add);
  add();
  other.join();
  const Lock lock(counter.mutex);
  EXPECT_EQ(counter.value, 20'000);
}

TEST(Mutex, IsLetGoOfWhileAThreadWaits) {
  Counter counter;
  Lock lock(counter.mutex);
  std::thread other([&] { counter.add(); });
  counter.changed.wait(lock, [&]() FERRY_REQUIRES(counter.mutex) { return counter.value == 1; });
  lock.unlock();
  other.join();
  counter.add();
  lock.lock();
  EXPECT_EQ(counter.value, 2);
}

TEST(Condition, IsWaitedForNoLongerThanAsked) {
  Counter counter;
  Lock lock(counter.mutex);
  const auto never = []() { return false; };
  EXPECT_FALSE(counter.changed.wait_for(lock, std::chrono::milliseconds(1), never));
  EXPECT_FALSE(counter.changed.wait_until(lock, std::chrono::steady_clock::now(), never));
}

TEST(SharedMutex, IsSharedByThoseWhoOnlyShareIt) {
  SharedMutex mutex;
  const SharedLock lock(mutex);
  std::thread other([&] { const SharedLock shared(mutex); });
  other.join();
}

}  // namespace
}  // namespace vmm
