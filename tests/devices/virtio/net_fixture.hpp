#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "devices/virtio/net.hpp"
#include "devices/virtio/virtio_core.hpp"
#include "tests/devices/fake_host.hpp"
#include "tests/devices/network/fake_port.hpp"
#include "tests/devices/virtio/driver.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace devices::virtio {

using network::Bytes;
using network::FakePort;
using network::FrameHeader;
using network::Offloads;

inline constexpr network::MacAddress kMac = {0x02, 0xab, 0, 0, 0, 0x7f};
inline constexpr std::uint8_t kUp = VirtioCore::kFeaturesOk | VirtioCore::kDriverOk | 3;
inline constexpr std::size_t kHeader = sizeof(FrameHeader);

inline std::string error_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

inline Bytes bytes_of(std::size_t size, int first) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(static_cast<std::size_t>(first) + i);
  }
  return bytes;
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

}  // namespace devices::virtio
