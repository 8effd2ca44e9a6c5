#include "devices/virtio/workers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <semaphore>

namespace devices::virtio {
namespace {

TEST(Workers, WorkBesideEachOther) {
  Workers workers(3);
  std::latch all(3);
  std::latch done(3);
  for (int i = 0; i < 3; ++i) {
    workers.give([&] {
      all.arrive_and_wait();
      done.count_down();
    });
  }
  done.wait();
}

TEST(Workers, AreNoMoreThanTheMost) {
  Workers workers(2);
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> let(0);
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  std::latch done(6);
  for (int i = 0; i < 6; ++i) {
    workers.give([&] {
      most = std::max(most.load(), ++at_once);
      begun.release();
      let.acquire();
      --at_once;
      done.count_down();
    });
  }
  begun.acquire();
  begun.acquire();
  let.release(6);
  done.wait();
  EXPECT_LE(most, 2);
}

TEST(Workers, AreThereForWhatComesLater) {
  Workers workers(1);
  for (int i = 0; i < 3; ++i) {
    std::latch done(1);
    workers.give([&] { done.count_down(); });
    done.wait();
  }
}

TEST(Workers, EndWhenAllIsDone) {
  std::atomic<int> done{0};
  {
    Workers workers(1);
    for (int i = 0; i < 10; ++i) workers.give([&] { ++done; });
  }
  EXPECT_EQ(done, 10);
}

TEST(Workers, DoItInTheGiversThreadWhereThereIsNoOther) {
  Workers workers(0);
  int done = 0;
  workers.give([&] { ++done; });
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace devices::virtio
