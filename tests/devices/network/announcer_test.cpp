#include "devices/network/announcer.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "tests/devices/network/fake_port.hpp"

namespace devices::network {
namespace {

constexpr MacAddress kMac = {0x02, 1, 2, 3, 4, 5};

TEST(Announcer, SendsFiveFramesThatComeFromTheGuest) {
  const auto port = std::make_shared<FakePort>();
  port->open();
  Announcer announcer(kMac, port);
  announcer.begin();
  EXPECT_TRUE(port->sent().empty());  // paused
  const auto from = std::chrono::steady_clock::now();
  announcer.resume();
  const auto sent = port->sent(5);
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(800));
  ASSERT_EQ(sent.size(), 5U);
  const auto frame = Announcer::frame_of(kMac);
  for (const auto& one : sent) {
    EXPECT_EQ(one.header, FrameHeader{});
    EXPECT_EQ(one.bytes, Bytes(frame.begin(), frame.end()));
  }
}

TEST(Announcer, SendsAReverseArpRequest) {
  const auto frame = Announcer::frame_of(kMac);
  const std::vector<int> wanted = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 2, 3, 4, 5, 0x80, 0x35,
                                   0,    1,    8,    0,    6,    4,    0, 3, 2, 1, 2, 3, 4,    5,
                                   0,    0,    0,    0,    2,    1,    2, 3, 4, 5, 0, 0, 0,    0};
  for (std::size_t i = 0; i < frame.size(); ++i) {
    EXPECT_EQ(std::to_integer<int>(frame[i]), i < wanted.size() ? wanted[i] : 0) << i;
  }
}

TEST(Announcer, SendsNothingWhilePausedAndTheRestLater) {
  const auto port = std::make_shared<FakePort>();
  port->open();
  Announcer announcer(kMac, port);
  announcer.resume();
  announcer.begin();
  EXPECT_GE(port->sent(1).size(), 1U);
  announcer.pause();
  const auto before = port->sent().size();
  std::this_thread::sleep_for(2 * Announcer::kPauses.front());
  EXPECT_EQ(port->sent().size(), before);
  announcer.resume();
  EXPECT_EQ(port->sent(5).size(), 5U);
}

}  // namespace
}  // namespace devices::network
