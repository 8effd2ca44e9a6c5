#include "devices/network/tap_port.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <system_error>
#include <thread>

#include "tests/devices/network/fake_port.hpp"

namespace devices::network {
namespace {

constexpr std::uint16_t kType = 0x88b5;  // for experiments

std::string error_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "none";
}

Bytes raw_frame(std::size_t size) {
  Bytes frame(size, std::byte{0x5a});
  std::fill_n(frame.begin(), 6, std::byte{0xff});
  frame[6] = std::byte{2};
  frame[12] = std::byte{kType >> 8};
  frame[13] = std::byte{kType & 0xff};
  return frame;
}

TEST(TapPort, SaysThatThereIsNoSuchInterface) {
  for (const char* name : {"", "ferry-none", "a-name-that-is-too-long"}) {
    const auto error = error_of([&] { TapPort port(name, nullptr); });
    EXPECT_NE(error.find("there is no interface '" + std::string(name) + "'"), std::string::npos)
        << error;
  }
}

/// An interface in a network of this thread's own.
class TapPortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no network of its own here: " << std::strerror(errno);
    }
    const vmm::UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    std::strncpy(request.ifr_name, "tap0", IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (::ioctl(tun.get(), TUNSETIFF, &request) != 0 || ::ioctl(tun.get(), TUNSETPERSIST, 1) != 0) {
      GTEST_SKIP() << "no TAP here: " << std::strerror(errno);
    }
    wire_ = vmm::UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kType)));
    request.ifr_mtu = 1400;
    ASSERT_EQ(::ioctl(wire_.get(), SIOCSIFMTU, &request), 0);
    request.ifr_flags = IFF_UP;
    ASSERT_EQ(::ioctl(wire_.get(), SIOCSIFFLAGS, &request), 0);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kType);
    address.sll_ifindex = static_cast<int>(::if_nametoindex("tap0"));
    ASSERT_EQ(::bind(wire_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

  /// A TAP that has just been opened drops what it is given: the kernel finds only later that its
  /// link is up.
  void wait_until_up(TapPort& port) {
    const auto probe = raw_frame(60);
    for (int tried = 0; tried < 1000; ++tried) {
      static_cast<void>(::send(wire_.get(), probe.data(), probe.size(), 0));
      if (!receive(port, 200, 10).empty()) break;
    }
    while (!receive(port, 200, 10).empty()) continue;
  }

  /// Until a frame waits in one that is only reserved.
  void wait_until_waiting(const TapPort& port) {
    const auto probe = raw_frame(60);
    pollfd watched{port.descriptor(), POLLIN, 0};
    for (int tried = 0; tried < 1000 && ::poll(&watched, 1, 10) == 0; ++tried) {
      static_cast<void>(::send(wire_.get(), probe.data(), probe.size(), 0));
    }
  }

  /// The frames of ours among those that a kernel sends by itself.
  static Bytes receive(TapPort& port, std::size_t room, int milliseconds = 2000) {
    for (;;) {
      pollfd watched{port.descriptor(), POLLIN, 0};
      if (::poll(&watched, 1, milliseconds) != 1) return {};
      Bytes bytes(room);
      FrameHeader header;
      const std::array<iovec, 2> parts = {{{bytes.data(), 20}, {&bytes[20], room - 20}}};
      const auto got = port.receive(header, parts);
      if (got.value_or(0) == 0) continue;
      bytes.resize(*got);
      if (bytes[12] == std::byte{kType >> 8} && bytes[13] == std::byte{kType & 0xff}) return bytes;
    }
  }

  vmm::UniqueFd wire_;
  std::vector<std::string> told_;
  const std::function<void(std::string)> report_ = [this](const std::string& what) {
    told_.push_back(what);
  };
};

TEST_F(TapPortTest, SendsAndReceivesFrames) {
  TapPort port("tap0", report_);
  EXPECT_EQ(port.mtu(), 1400);
  port.use(Offloads::kAll);
  port.open();
  EXPECT_TRUE(port.linked());
  wait_until_up(port);
  auto frame = raw_frame(100);
  const std::array<iovec, 2> parts = {{{frame.data(), 30}, {&frame[30], 70}}};
  port.send({}, parts);
  Bytes got(200);
  ASSERT_EQ(::recv(wire_.get(), got.data(), got.size(), 0), 100);
  got.resize(100);
  EXPECT_EQ(got, frame);
  const auto longer = raw_frame(1000);
  ASSERT_EQ(::send(wire_.get(), longer.data(), longer.size(), 0), 1000);
  ASSERT_EQ(::send(wire_.get(), frame.data(), frame.size(), 0), 100);
  EXPECT_EQ(receive(port, 999), frame);  // the other is dropped
  EXPECT_GE(port.dropped(), 1U);
}

TEST_F(TapPortTest, IsOneProcesssAtATime) {
  TapPort one("tap0", report_);
  TapPort other("tap0", report_);
  one.open();
  EXPECT_NE(error_of([&] { other.open(); }).find("in use"), std::string::npos);
  one.close();
  other.open();
  other.open();
}

/// Somebody who waits for frames keeps nothing open.
TEST_F(TapPortTest, IsFreeOnceItIsClosedWhoeverWaitsForIt) {
  TapPort one("tap0", report_);
  TapPort other("tap0", report_);
  one.open();
  std::thread waiting([&] {
    pollfd watched{one.descriptor(), POLLIN, 0};
    static_cast<void>(::poll(&watched, 1, 300));
  });
  one.close();
  other.open();
  waiting.join();
}

TEST_F(TapPortTest, RefusesAnInterfaceThatIsNoTap) {
  TapPort port("lo", report_);
  EXPECT_NE(error_of([&] { port.reserve(); }).find("no TAP"), std::string::npos);
  EXPECT_NE(error_of([&] { port.open(); }).find("no TAP"), std::string::npos);
}

TEST_F(TapPortTest, IsReservedUnlessAnotherHasIt) {
  TapPort one("tap0", report_);
  TapPort other("tap0", report_);
  one.reserve();
  EXPECT_FALSE(one.linked());
  EXPECT_NE(error_of([&] { other.open(); }).find("in use"), std::string::npos);
  one.close();
  other.open();
  EXPECT_EQ(error_of([&] { one.reserve(); }), "none");
  other.reserve();
  EXPECT_TRUE(other.linked());
  other.close();
  one.open();
  EXPECT_TRUE(one.linked());
}

/// The link is up by then, and what came before was for another machine of the guest.
TEST_F(TapPortTest, TakesFramesFromWhenItIsOpened) {
  TapPort port("tap0", report_);
  port.reserve();
  wait_until_waiting(port);
  for (int i = 0; i < 3; ++i) {
    const auto before = raw_frame(80);
    ASSERT_EQ(::send(wire_.get(), before.data(), before.size(), 0), 80);
  }
  port.open();
  const auto frame = raw_frame(100);
  ASSERT_EQ(::send(wire_.get(), frame.data(), frame.size(), 0), 100);
  EXPECT_EQ(receive(port, 200), frame);
}

TEST_F(TapPortTest, IsNotToBeHadWhereItHasGoneWhileItWasReserved) {
  TapPort port("tap0", report_);
  port.reserve();
  ASSERT_EQ(std::system("ip link delete tap0 2> /dev/null"), 0);
  EXPECT_NE(error_of([&] { port.open(); }).find("there is no interface"), std::string::npos);
  EXPECT_FALSE(port.linked());
}

TEST_F(TapPortTest, ReportsOnceThatItsInterfaceHasGone) {
  TapPort port("tap0", report_);
  port.open();
  // A TAP that somebody has stays until it is let go: its end is as with 'ip link delete'.
  ASSERT_EQ(std::system("ip link delete tap0 2> /dev/null"), 0);
  pollfd watched{port.descriptor(), POLLIN, 0};
  ASSERT_EQ(::poll(&watched, 1, 2000), 1);
  FrameHeader header;
  Bytes bytes(2000);
  const iovec part{bytes.data(), bytes.size()};
  while (port.receive(header, {&part, 1})) continue;
  EXPECT_FALSE(port.linked());
  EXPECT_EQ(told_.size(), 1U);
  EXPECT_EQ(::poll(&watched, 1, 0), 0);
}

}  // namespace
}  // namespace devices::network
