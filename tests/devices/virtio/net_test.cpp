#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "tests/devices/virtio/net_fixture.hpp"

namespace devices::virtio {
namespace {

TEST(NetIdentity, IsTextAndBack) {
  const NetIdentity plain{.mac = kMac, .mtu = std::nullopt, .offloads = 0};
  EXPECT_EQ(to_text(plain), "net mac=02:ab:00:00:00:7f offloads=0x0");
  EXPECT_EQ(net_identity(to_text(plain)), plain);
  const NetIdentity full{.mac = kMac, .mtu = 9000, .offloads = Offloads::kAll};
  EXPECT_EQ(to_text(full), "net mac=02:ab:00:00:00:7f mtu=9000 offloads=0x1983");
  EXPECT_EQ(net_identity(to_text(full)), full);
}

TEST(NetIdentity, IsNotTakenFromUnsoundText) {
  for (const char* text :
       {"", "net", "net ", "disk mac=02:ab:00:00:00:7f", "net mac=02:ab:00:00:00",
        "net mac=03:ab:00:00:00:7f", "net mac=02:ab:00:00:00:7g", "net mac=02-ab-00-00-00-7f",
        "net mac=00:00:00:00:00:00", "net mac=+2:ab:00:00:00:7f", "net offloads=0x0",
        "net mac=02:ab:00:00:00:7f mtu=", "net mac=02:ab:00:00:00:7f mtu=70000",
        "net mac=02:ab:00:00:00:7f offloads=0xg", "net mac=02:ab:00:00:00:7f more",
        "net mac=02:ab:00:00:00:7f  offloads=0x0"}) {
    EXPECT_THROW(static_cast<void>(net_identity(text)), std::invalid_argument) << text;
  }
}

TEST(MacAddress, IsOfOneDeviceAndLocalWhereItIsRandom) {
  const auto one = network::random_mac_address();
  EXPECT_EQ(one[0] & 3, 2);
  EXPECT_NE(one, network::random_mac_address());
}

TEST(NetDevice, NeedsTheOffloadsOfItsGuest) {
  const NetIdentity identity{
      .mac = kMac, .mtu = 1500, .offloads = Offloads::kSendChecksum | Offloads::kReceiveTso6};
  const auto error = error_of([&] { Net(identity, std::make_shared<FakePort>(), nullptr); });
  EXPECT_NE(error.find("fake has not: csum, guest-tso6"), std::string::npos) << error;
  NetIdentity unknown = identity;
  unknown.offloads = std::uint64_t{1} << 40;
  EXPECT_NE(error_of([&] { Net(unknown, std::make_shared<FakePort>(), nullptr); }), "none");
  // One that has more gives no more.
  const Net net(identity, std::make_shared<FakePort>(Offloads::kAll), nullptr);
  EXPECT_EQ(net.features() & Offloads::kAll, identity.offloads);
}

TEST(NetDevice, NeedsPacketsAsLongAsThoseOfItsGuest) {
  NetIdentity identity{.mac = kMac, .mtu = 9000};
  const auto error_with = [&](std::optional<std::uint16_t> mtu) {
    return error_of([&] { Net(identity, std::make_shared<FakePort>(0, mtu), nullptr); });
  };
  const auto error = error_with(1500);
  EXPECT_NE(error.find("fake has an MTU of 1500"), std::string::npos) << error;
  EXPECT_NE(error.find("mtu 9000"), std::string::npos) << error;
  EXPECT_EQ(error_with(9000), "none");
  EXPECT_EQ(error_with(std::nullopt), "none");
  identity.mtu.reset();
  EXPECT_EQ(error_with(1500), "none");
}

TEST_F(NetTest, HasAConfiguration) {
  net().acquire();
  EXPECT_EQ(core_.offered() & 0xffffff, Net::kMac | Net::kMtu | Net::kMergeableBuffers |
                                            Net::kStatus | Net::kControlQueue |
                                            Net::kGuestAnnounce | Offloads::kAll);
  std::array<std::byte, 12> config{};
  core_.read_config(0, config);
  const std::array<int, 12> wanted = {2, 0xab, 0, 0, 0, 0x7f, 1, 0, 1, 0, 0xdc, 5};
  for (std::size_t i = 0; i < config.size(); ++i) {
    EXPECT_EQ(std::to_integer<int>(config[i]), wanted[i]) << i;
  }
}

TEST_F(NetTest, SendsFramesHoweverTheyAreLaidOut) {
  net().acquire();
  bring_up(Net::kSendQueue, Offloads::kSendChecksum);
  const Bytes bytes = bytes_of(kHeader + 60, 1);
  unsigned count = 0;
  for (const std::vector<std::uint32_t>& sizes : std::vector<std::vector<std::uint32_t>>{
           {72}, {12, 60}, {5, 7, 60}, {30, 42}, {1, 10, 2, 59}}) {
    send(bytes, sizes);
    wait_used(++count);
    const auto sent = port_->sent(count);
    ASSERT_EQ(sent.size(), count);
    EXPECT_EQ(sent.back().bytes, bytes_of(60, 13));
    EXPECT_EQ(sent.back().header[0], std::byte{1});
    EXPECT_EQ(sent.back().header[11], std::byte{12});
  }
}

TEST_F(NetTest, SendsNothingOutOfBounds) {
  net().acquire();
  bring_up(Net::kSendQueue);
  unsigned count = 0;
  for (const std::vector<std::uint32_t>& sizes :
       std::vector<std::vector<std::uint32_t>>{{1},
                                               {kHeader},
                                               {kHeader, 13},
                                               {kHeader, 65'551},
                                               {kHeader, 1 << 20, 1 << 22, 1 << 22}}) {
    send({std::byte{1}}, sizes);
    wait_used(++count);
  }
  ask({100});  // nothing to read
  wait_used(++count);
  EXPECT_TRUE(port_->sent().empty());
  send(bytes_of(26, 0), {kHeader, 65'550});
  wait_used(++count);
  send(bytes_of(26, 0), {kHeader, 14});
  wait_used(++count);
  EXPECT_EQ(port_->sent(2).size(), 2U);
}

TEST_F(NetTest, SendsNoHeaderThatWasNotAgreedOn) {
  net().acquire();
  bring_up(Net::kSendQueue);
  send(bytes_of(kHeader + 14, 1), {26});
  wait_used(1);
  EXPECT_EQ(port_->sent(1).at(0).header, FrameHeader{});
}

TEST_F(NetTest, AnswersItsControlQueue) {
  net().acquire();
  bring_up(Net::kControl, Net::kControlQueue);
  unsigned count = 0;
  const auto answer = [&](int kind, int command, std::uint32_t bytes = 2) {
    driver_.put(Driver::kData, static_cast<std::uint8_t>(kind));
    driver_.put(Driver::kData + 1, static_cast<std::uint8_t>(command));
    driver_.put(Driver::kData + 16, std::uint8_t{0x55});
    driver_.describe(
        {{Driver::kData, bytes, kDescriptorNext, 1}, {Driver::kData + 16, 1, kDescriptorWrite, 0}});
    driver_.offer(0);
    notify();
    wait_used(++count);
    return driver_.get<std::uint8_t>(Driver::kData + 16);
  };
  EXPECT_EQ(answer(3, 0), 0);
  EXPECT_EQ(answer(3, 1), 1);
  EXPECT_EQ(answer(0, 0), 1);
  EXPECT_EQ(answer(4, 0), 1);
  EXPECT_EQ(answer(3, 0, 1), 1);
  send(Bytes{std::byte{3}, std::byte{0}}, {2});  // no place for an answer
  wait_used(++count);
  EXPECT_EQ(core_.status(), kUp);
}

TEST_F(NetTest, AsksItsGuestToAnnounceItselfAfterAnArrival) {
  std::vector<std::byte> saved;
  {
    NetTest::bring_up(Net::kControl, Net::kControlQueue | Net::kGuestAnnounce);
    core_.request_pause();
    ASSERT_TRUE(core_.wait_paused(std::nullopt));
    vmm::ByteWriter out(saved);
    core_.save(out);
    core_.set_status(0);
  }
  vmm::ByteReader<std::invalid_argument> from(saved, "state");
  net().acquire();
  core_.load(from);
  EXPECT_EQ(status(), Net::kLinkUp);
  EXPECT_TRUE(port_->sent().empty());
  core_.resumed();
  wait_told(1);
  EXPECT_EQ(status(), Net::kLinkUp | Net::kAnnounce);
  const auto frame = network::Announcer::frame_of(kMac);
  EXPECT_EQ(port_->sent(1).at(0).bytes, Bytes(frame.begin(), frame.end()));
  driver_.put(Driver::kData, std::uint16_t{3});
  driver_.describe(
      {{Driver::kData, 2, kDescriptorNext, 1}, {Driver::kData + 16, 1, kDescriptorWrite, 0}});
  driver_.offer(0);
  notify();
  wait_used(1);
  EXPECT_EQ(status(), Net::kLinkUp);
  EXPECT_EQ(port_->sent(5).size(), 5U);
}

TEST_F(NetTest, TellsItsGuestThatThereIsNoLinkAnyMore) {
  net().acquire();
  bring_up(Net::kReceiveQueue);
  ask({2000});
  EXPECT_EQ(status(), Net::kLinkUp);
  port_->lose();
  wait_told(1);
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(driver_.used(), 0);
}

TEST_F(NetTest, RunsOnWithoutALinkThatIsNotToBeHadAgain) {
  port_->refuses = std::errc::no_such_device;
  EXPECT_THROW(net().acquire(), std::system_error);
  port_->refuses = {};
  net().acquire();
  net().release();
  port_->refuses = std::errc::device_or_resource_busy;
  EXPECT_THROW(net().acquire(), std::system_error);
  port_->refuses = std::errc::no_such_device;
  net().acquire();
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(reports_.size(), 1U);
  core_.resumed();
  wait_told(1);
}

}  // namespace
}  // namespace devices::virtio
