#include "devices/virtio/served_queue.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>

#include "tests/devices/virtio/driver.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::virtio {
namespace {

constexpr std::chrono::seconds kPatience{30};

/// RAM that is a file, and a queue there; the device completes what it takes.
class ServedQueueInAFile : public ::testing::Test {
 protected:
  void cut_file(vmm::GuestMemory& memory, std::uint64_t size) {
    ASSERT_EQ(::ftruncate(memory.file(), static_cast<off_t>(size)), 0);
  }
  void serve(ServedQueue& queue) {
    while (const auto request = queue.take()) queue.complete(*request, 0);
    const vmm::Lock lock(mutex_);
    ++looked_;
    changed_.notify_all();
  }
  /// Until the device has found nothing to do so many times.
  [[nodiscard]] bool wait_looked(int times, std::chrono::milliseconds patience = kPatience) {
    vmm::Lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return looked_ >= times; });
  }
  void completed() {
    const vmm::Lock lock(mutex_);
    completed_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait_completed() {
    vmm::Lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return completed_; });
  }

  vmm::GuestMemory memory_{vmm::kMinMemory, vmm::Backing::memfd};
  Driver driver_{memory_};
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  int looked_ = 0;
  bool completed_ = false;
};

class ServedQueueInAFileThatIsFull : public ServedQueueInAFile,
                                     public ::testing::WithParamInterface<std::uint16_t> {};

/// As where others have filled the store that RAM is in.
TEST_P(ServedQueueInAFileThatIsFull, WaitsForRoomForARequest) {
  driver_.describe(0,
                   {.address = Driver::kData, .length = 2 * vmm::kPageSize, .flags = GetParam()});
  driver_.offer(0);
  cut_file(memory_, Driver::kData + vmm::kPageSize);
  vmm::EventFd notified;
  ServedQueue queue(Queue(memory_, Driver::state(), false), notified,
                    {.serve = [this](ServedQueue& served) { serve(served); },
                     .interrupt = [this] { completed(); },
                     .broken = [](const std::string&) {}},
                    0U);
  queue.resume();
  ASSERT_TRUE(wait_looked(2));
  EXPECT_EQ(driver_.used(), 0);
  EXPECT_EQ(queue.state().next_available, 0);
  queue.request_pause();
  EXPECT_TRUE(queue.wait_paused(std::chrono::steady_clock::now() + kPatience));
  queue.resume();
  cut_file(memory_, memory_.size());
  ASSERT_TRUE(wait_completed());
  EXPECT_EQ(driver_.used(), 1);
}

/// A balloon is told of free pages, which must not be made by that.
TEST_F(ServedQueueInAFile, TouchesNothingThatItsDeviceDoesNotWrite) {
  driver_.describe(
      0, {.address = Driver::kData, .length = 2 * vmm::kPageSize, .flags = kDescriptorWrite});
  driver_.offer(0);
  cut_file(memory_, Driver::kData + vmm::kPageSize);
  vmm::EventFd notified;
  ServedQueue queue(Queue(memory_, Driver::state(), false), notified,
                    {.serve = [this](ServedQueue& served) { serve(served); },
                     .writes = false,
                     .interrupt = [this] { completed(); },
                     .broken = [](const std::string&) {}},
                    0U);
  queue.resume();
  EXPECT_TRUE(wait_completed());
}

/// A receive queue, whose buffers wait for frames.
TEST_F(ServedQueueInAFile, SleepsWhileItsRequestsWaitForTheSource) {
  driver_.describe(0, {.address = Driver::kData, .length = 64, .flags = kDescriptorWrite});
  vmm::EventFd notified;
  const vmm::EventFd source;
  std::atomic<bool> leaves = false;
  ServedQueue queue(Queue(memory_, Driver::state(), false), notified,
                    {.serve =
                         [&](ServedQueue& served) {
                           if (!leaves) return serve(served);
                           const vmm::Lock lock(mutex_);
                           ++looked_;
                           changed_.notify_all();
                         },
                     .source = source.get(),
                     .interrupt = [this] { completed(); },
                     .broken = [](const std::string&) {}},
                    0U);
  queue.resume();
  for (int round = 0; round < 20; ++round) {
    leaves = false;
    // A driver that is so quick that its requests may be polled for.
    for (int i = 0; i < 20; ++i) {
      driver_.offer(0);
      notified.signal();
      ASSERT_TRUE(wait_completed());
      const vmm::Lock lock(mutex_);
      completed_ = false;
    }
    {
      const vmm::Lock lock(mutex_);
      looked_ = 0;
    }
    leaves = true;
    driver_.offer(0);
    notified.signal();
    EXPECT_FALSE(wait_looked(100, std::chrono::milliseconds(5)));
  }
}

INSTANTIATE_TEST_SUITE_P(ToReadAndToWrite, ServedQueueInAFileThatIsFull,
                         ::testing::Values(std::uint16_t{0}, kDescriptorWrite));

}  // namespace
}  // namespace devices::virtio
