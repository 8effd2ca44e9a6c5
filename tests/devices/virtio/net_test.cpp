#include "devices/virtio/net.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/virtio_core.hpp"
#include "tests/devices/fake_host.hpp"
#include "tests/devices/network/fake_port.hpp"
#include "tests/devices/virtio/driver.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace devices::virtio {
namespace {

using network::Bytes;
using network::FakePort;
using network::FrameHeader;
using network::Offloads;

constexpr network::MacAddress kMac = {0x02, 0xab, 0, 0, 0, 0x7f};
constexpr std::uint8_t kUp = VirtioCore::kFeaturesOk | VirtioCore::kDriverOk | 3;
constexpr std::size_t kHeader = sizeof(FrameHeader);

std::string error_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

Bytes bytes_of(std::size_t size, int first) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(static_cast<std::size_t>(first) + i);
  }
  return bytes;
}

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

/// A driver that has one of the queues.
class NetTest : public ::testing::Test {
 protected:
  void TearDown() override { core_.request_pause(); }

  void bring_up(unsigned queue, std::uint64_t features = 0) {
    core_.resumed();
    core_.set_driver_features(VirtioCore::kVersion1 | features);
    core_.set_status(VirtioCore::kFeaturesOk);
    core_.set_queue(queue, {.state = Driver::state(), .enabled = true});
    core_.set_status(kUp);
    ASSERT_EQ(core_.status(), kUp);
    queue_ = queue;
  }
  void notify() { core_.notification(queue_).signal(); }
  Net& net() { return *device_; }

  /// A frame that the driver sends, in parts of these sizes.
  void send(const Bytes& bytes, const std::vector<std::uint32_t>& sizes) {
    std::ranges::copy(bytes, host_.ram.at({Driver::kData}, bytes.size()).begin());
    describe(sizes, 0);
    driver_.offer(0);
    notify();
  }
  void ask(const std::vector<std::uint32_t>& sizes) {
    describe(sizes, kDescriptorWrite);
    driver_.offer(0);
    notify();
  }
  void describe(const std::vector<std::uint32_t>& sizes, std::uint16_t flags) {
    std::vector<Descriptor> chain;
    std::uint64_t at = Driver::kData;
    for (const std::uint32_t size : sizes) {
      const auto next = static_cast<std::uint16_t>(chain.size() + 1);
      chain.push_back({at, size, static_cast<std::uint16_t>(flags | kDescriptorNext), next});
      at += size;
    }
    chain.back().flags = flags;
    driver_.describe(chain);
  }
  /// Waits until so many interrupts came of the queue, or of the configuration.
  void wait_used(unsigned count) { wait(used_, count); }
  void wait_told(unsigned count) { wait(told_, count); }
  Bytes data(std::size_t size) {
    const auto bytes = host_.ram.at({Driver::kData}, size);
    return {bytes.begin(), bytes.end()};
  }
  std::uint16_t status() {
    std::array<std::byte, 2> bytes{};
    core_.read_config(6, bytes);
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) |
                                      std::to_integer<unsigned>(bytes[1]) << 8);
  }

  FakeHost host_;
  std::shared_ptr<FakePort> port_ = std::make_shared<FakePort>(Offloads::kAll, std::uint16_t{1500});
  std::vector<std::string> reports_;
  std::shared_ptr<Net> device_ =
      std::make_shared<Net>(Net::identity_of(kMac, *port_), port_,
                            [this](const std::string& what) { reports_.push_back(what); });
  Driver driver_{host_.ram};
  unsigned queue_ = 0;

 private:
  void wait(const unsigned& counter, unsigned count) {
    vmm::Lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(30), [&] { return counter >= count; }));
  }
  void count(unsigned& counter) {
    const vmm::Lock lock(mutex_);
    ++counter;
    changed_.notify_all();
  }

  vmm::Mutex mutex_;
  vmm::Condition changed_;
  unsigned used_ = 0;
  unsigned told_ = 0;

 protected:
  VirtioCore core_{
      device_,
      host_,
      {.used = [this](unsigned) { count(used_); }, .config_changed = [this] { count(told_); }}};
};

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
