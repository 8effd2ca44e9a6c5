#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "tests/devices/virtio/net_fixture.hpp"

namespace devices::virtio {
namespace {

TEST_F(NetTest, ReceivesFramesHoweverTheirPlaceIsLaidOut) {
  net().acquire();
  bring_up(Net::kReceiveQueue, Offloads::kReceiveChecksum);
  unsigned count = 0;
  for (const std::vector<std::uint32_t>& sizes : std::vector<std::vector<std::uint32_t>>{
           {2000}, {12, 2000}, {5, 7, 60}, {30, 42}, {1, 10, 2, 59}}) {
    ask(sizes);
    FrameHeader header{};
    header[0] = std::byte{2};
    port_->give({header, bytes_of(60, static_cast<int>(count))});
    wait_used(++count);
    Bytes wanted(kHeader);
    wanted[0] = std::byte{2};
    wanted[10] = std::byte{1};
    const Bytes frame = bytes_of(60, static_cast<int>(count - 1));
    wanted.insert(wanted.end(), frame.begin(), frame.end());
    EXPECT_EQ(data(72), wanted);
    EXPECT_EQ(driver_.used_element(static_cast<std::uint16_t>(count - 1)).length, 72U);
  }
  EXPECT_EQ(port_->used, Offloads::kReceiveChecksum);
}

TEST_F(NetTest, DropsFramesThatDoNotFitAndThoseThatTheGuestDoesNotTake) {
  net().acquire();
  bring_up(Net::kReceiveQueue);
  ask({20});  // of no use to any frame
  wait_used(1);
  EXPECT_EQ(driver_.used_element(0).length, 0U);
  ask({kHeader + 60});
  port_->give({{}, bytes_of(61, 0)});
  FrameHeader unfinished{};
  unfinished[0] = std::byte{1};
  port_->give({unfinished, bytes_of(60, 0)});
  FrameHeader checked{};
  checked[0] = std::byte{2};
  port_->give({checked, bytes_of(60, 100)});
  wait_used(2);
  EXPECT_EQ(port_->dropped(), 1U);
  EXPECT_EQ(data(1).front(), std::byte{0});
  EXPECT_EQ(data(kHeader + 1).back(), std::byte{100});
  EXPECT_EQ(driver_.used(), 2);
}

// It would wait for frames that have come, without end.
TEST_F(NetTest, GivesBackABufferThatNoFrameCanBeginIn) {
  net().acquire();
  bring_up(Net::kReceiveQueue, Net::kMergeableBuffers);
  ask({20});
  port_->give({{}, bytes_of(60, 0)});
  wait_used(1);
  EXPECT_EQ(driver_.used_element(0).length, 0U);
  ask({kHeader + 60});
  wait_used(2);
  EXPECT_EQ(driver_.used_element(1).length, kHeader + 60);
  EXPECT_EQ(port_->dropped(), 0U);
}

// What is in the guest's memory travels, whatever it is.
TEST_F(NetTest, NotesWhatItWroteOfAFrameThatIsDropped) {
  net().acquire();
  bring_up(Net::kReceiveQueue);
  ask({2 * vmm::kPageSize});
  FrameHeader unfinished{};
  unfinished[0] = std::byte{1};
  port_->give({unfinished, Bytes(vmm::kPageSize + 1000, std::byte{0xaa})});
  port_->give({{}, bytes_of(60, 0)});
  wait_used(1);
  vmm::PageSet written(host_.ram.page_count());
  host_.ram.take_host_writes(written);
  EXPECT_EQ(data(vmm::kPageSize + 1).back(), std::byte{0xaa});
  EXPECT_TRUE(written.test(Driver::kData / vmm::kPageSize + 1));
}

TEST_F(NetTest, PausesWhileFramesThatAreDroppedKeepComing) {
  net().acquire();
  bring_up(Net::kReceiveQueue);
  ask({kHeader + 60});
  port_->flood(true);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (port_->dropped() < 1000 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_GE(port_->dropped(), 1000U);
  core_.request_pause();
  EXPECT_TRUE(core_.wait_paused(end));
  port_->flood(false);
}

TEST_F(NetTest, MergesBuffersForAFrameThatTakesSeveral) {
  net().acquire();
  bring_up(Net::kReceiveQueue, Net::kMergeableBuffers);
  constexpr std::uint32_t kBuffer = 50;
  const auto offer = [&](std::uint16_t slot, std::uint16_t flags) {
    driver_.describe(slot, {Driver::kData + slot * std::uint64_t{kBuffer}, kBuffer, flags, 0});
    driver_.offer(slot);
  };
  offer(7, 0);  // nothing to write, where nothing waits for it
  for (std::uint16_t slot = 0; slot < 5; ++slot) {
    offer(slot, slot == 1 ? std::uint16_t{0} : kDescriptorWrite);
  }
  notify();
  wait_used(1);
  port_->give({{}, bytes_of(189, 0)});  // a byte too long for four
  port_->give({{}, bytes_of(100, 7)});
  wait_used(2);
  ASSERT_EQ(driver_.used(), 5);
  const std::array<std::pair<std::uint32_t, std::uint32_t>, 5> wanted = {
      {{7, 0}, {0, 50}, {1, 0}, {2, 50}, {3, 12}}};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(driver_.used_element(static_cast<std::uint16_t>(i)).head, wanted[i].first) << i;
    EXPECT_EQ(driver_.used_element(static_cast<std::uint16_t>(i)).length, wanted[i].second) << i;
  }
  EXPECT_EQ(port_->dropped(), 1U);
  const auto frame = bytes_of(100, 7);
  const auto memory = data(250);
  EXPECT_EQ(memory[10], std::byte{4});
  EXPECT_TRUE(std::equal(frame.begin(), frame.begin() + 38, memory.begin() + 12));
  EXPECT_TRUE(std::equal(frame.begin() + 38, frame.begin() + 88, memory.begin() + 100));
  EXPECT_TRUE(std::equal(frame.begin() + 88, frame.end(), memory.begin() + 150));
  // The one that is left, and those that come after it, in their order.
  offer(0, kDescriptorWrite);
  offer(2, kDescriptorWrite);
  notify();
  port_->give({{}, bytes_of(30, 9)});
  port_->give({{}, bytes_of(60, 5)});
  wait_used(4);
  EXPECT_EQ(driver_.used_element(5).head, 4U);
  EXPECT_EQ(driver_.used_element(5).length, 42U);
  EXPECT_EQ(driver_.used_element(6).head, 0U);
  EXPECT_EQ(driver_.used_element(7).head, 2U);
  EXPECT_EQ(driver_.used_element(7).length, 22U);
}

}  // namespace
}  // namespace devices::virtio
