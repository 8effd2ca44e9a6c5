#include "devices/virtio/virtio_pci.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/entropy.hpp"
#include "tests/devices/fake_host.hpp"
#include "tests/devices/virtio/driver.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::virtio {
namespace {

constexpr std::uint32_t kBar = 0xd0008000;
constexpr std::uint64_t kNotify = 0x3000;
constexpr std::uint64_t kTable = 0x4000;
constexpr std::uint8_t kDriverBits = 1 | 2;  // ACKNOWLEDGE and DRIVER
constexpr std::uint16_t kNoVector = 0xffff;
constexpr std::uint32_t kDataBytes = 0x1800;  // not in whole pages

/// A device with two queues whose requests stay with it until it is told.
class Slow final : public VirtioDevice {
 public:
  [[nodiscard]] std::uint16_t type() const override { return 2; }
  [[nodiscard]] std::uint64_t features() const override { return 1U << 9; }
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return kSizes; }
  [[nodiscard]] std::vector<std::byte> config() const override {
    return {std::byte{1}, std::byte{2}, std::byte{3}};
  }
  void begin(std::uint64_t features) override { agreed = features; }
  void serve(unsigned index, ServedQueue& queue) override {
    while (auto request = queue.take()) {
      const vmm::Lock lock(mutex_);
      taken_.push_back({&queue, *request, index});
      changed_.notify_all();
    }
  }

  void wait_taken() {
    vmm::Lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [this] { return !taken_.empty(); })) {
      throw std::runtime_error("no request came");
    }
  }
  /// Completes the oldest one that it has or gets; returns of which queue it was.
  unsigned complete_one() {
    wait_taken();
    vmm::Lock lock(mutex_);
    const Taken one = taken_.front();
    taken_.erase(taken_.begin());
    lock.unlock();
    one.queue->complete(one.request, 0);
    return one.index;
  }

  std::uint64_t agreed = 0;

 private:
  struct Taken {
    ServedQueue* queue;
    Request request;
    unsigned index;
  };
  static constexpr std::array<std::uint16_t, 2> kSizes = {8, 8};
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::vector<Taken> taken_;
};

/// A device whose requests each take one of what an event descriptor counts.
class Fed final : public VirtioDevice {
 public:
  [[nodiscard]] std::uint16_t type() const override { return 2; }
  [[nodiscard]] std::uint64_t features() const override { return 0; }
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return kSizes; }
  [[nodiscard]] int source(unsigned /*index*/) const override { return food_.get(); }
  void serve(unsigned /*index*/, ServedQueue& queue) override {
    const vmm::Lock lock(mutex_);
    ++served_;
    changed_.notify_all();
    while (const auto request = queue.take()) {
      eventfd_t one = 0;
      if (::eventfd_read(food_.get(), &one) != 0) {
        queue.put_back();
        return;
      }
      queue.complete(*request, 1);
    }
  }
  void arrived() override { told += "arrived "; }
  void resumed() override { told += "resumed "; }
  void request_pause() override { told += "paused "; }

  void feed(unsigned requests) { ::eventfd_write(food_.get(), requests); }
  /// How often serve() was called, once that is `count` or more.
  unsigned served(unsigned count = 0) {
    vmm::Lock lock(mutex_);
    static_cast<void>(
        changed_.wait_for(lock, std::chrono::seconds(30), [&] { return served_ >= count; }));
    return served_;
  }

  std::string told;

 private:
  static constexpr std::array<std::uint16_t, 1> kSizes = {8};
  const vmm::UniqueFd food_{::eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)};
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  unsigned served_ = 0;
};

/// A device whose driver writes to its configuration, which travels.
class Changing final : public VirtioDevice {
 public:
  [[nodiscard]] std::uint16_t type() const override { return 5; }
  [[nodiscard]] std::uint64_t features() const override { return 0; }
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return kSizes; }
  [[nodiscard]] std::vector<std::byte> config() const override { return {value, std::byte{9}}; }
  void write_config(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (offset == 0) value = bytes.front();
    written += bytes.size();
  }
  void changed() { tell_config_changed(); }
  void save(vmm::ByteWriter& out) const override { out.u8(std::to_integer<std::uint8_t>(value)); }
  void load(vmm::ByteReader<std::invalid_argument>& from) override { value = std::byte{from.u8()}; }
  void serve(unsigned /*index*/, ServedQueue& /*queue*/) override {}

  std::byte value{};
  std::size_t written = 0;

 private:
  static constexpr std::array<std::uint16_t, 1> kSizes = {8};
};

/// A guest's view of the device, by its registers.
struct PciGuest {
  FakeHost& host;
  std::shared_ptr<VirtioDevice> device;
  VirtioPci pci{"dev0", device, host, {kBar}};
  Driver driver{host.ram};

  template <typename Number>
  void out(std::uint64_t offset, Number value) {
    pci.write(offset, std::as_bytes(std::span(&value, 1)));
  }
  template <typename Number>
  Number in(std::uint64_t offset) {
    Number value{};
    pci.read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <typename Number>
  Number config(std::uint64_t offset) {
    Number value{};
    pci.read_config(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <typename Number>
  void set_config(std::uint64_t offset, Number value) {
    pci.write_config(offset, std::as_bytes(std::span(&value, 1)));
  }
  std::uint64_t capability(std::uint8_t id, std::uint8_t type = 0) {
    for (std::uint64_t at = config<std::uint8_t>(0x34); at != 0;
         at = config<std::uint8_t>(at + 1)) {
      const bool of_type = type == 0 || config<std::uint8_t>(at + 3) == type;
      if (config<std::uint8_t>(at) == id && of_type) return at;
    }
    return 0;
  }
  void set_features(std::uint64_t features) {
    for (const std::uint32_t select : {0U, 1U}) {
      out<std::uint32_t>(8, select);
      out<std::uint32_t>(12, static_cast<std::uint32_t>(features >> 32 * select));
    }
    out<std::uint8_t>(20, kDriverBits);
    out<std::uint8_t>(20, kDriverBits | VirtioCore::kFeaturesOk);
  }
  void set_queue(std::uint16_t index, const QueueState& state) {
    out<std::uint16_t>(22, index);
    out<std::uint16_t>(24, state.size);
    out<std::uint64_t>(32, state.descriptors);
    out<std::uint32_t>(40, static_cast<std::uint32_t>(state.driver_area));  // in halves
    out<std::uint32_t>(44, static_cast<std::uint32_t>(state.driver_area >> 32));
    out<std::uint64_t>(48, state.device_area);
    out<std::uint16_t>(26, static_cast<std::uint16_t>(index + 1));
    out<std::uint16_t>(28, 1);
  }
  void set_vectors() {
    set_config<std::uint16_t>(capability(Msix::kCapability) + 2, 0x8000);
    for (const std::uint64_t vector : {0U, 1U, 2U}) {
      out<std::uint32_t>(kTable + vector * 16, 0xfee00000);
      out<std::uint32_t>(kTable + vector * 16 + 8, static_cast<std::uint32_t>(0x40 + vector));
      out<std::uint32_t>(kTable + vector * 16 + 12, 0);
    }
    out<std::uint16_t>(16, 0);
  }
  void bring_up(const QueueState& state = Driver::state()) {
    set_features(VirtioCore::kVersion1);
    set_vectors();
    set_queue(0, state);
    out<std::uint8_t>(20, kDriverBits | VirtioCore::kFeaturesOk | VirtioCore::kDriverOk);
  }
  std::uint8_t status() { return in<std::uint8_t>(20); }
  void ask(std::uint16_t slot, std::uint32_t bytes = kDataBytes) {
    driver.describe(slot, {Driver::kData + slot * 0x2000ULL, bytes, kDescriptorWrite, 0});
    driver.offer(slot);
    out<std::uint16_t>(kNotify, 0);
  }
};

using Messages = std::vector<std::pair<std::uint64_t, std::uint32_t>>;

TEST(VirtioPci, IsAModernFunctionWithAllItsCapabilities) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Entropy>()};
  EXPECT_EQ(guest.config<std::uint32_t>(0), 0x10441af4U);
  EXPECT_EQ(guest.config<std::uint8_t>(8), 1);
  EXPECT_EQ(guest.config<std::uint8_t>(0x3d), 0);  // no pin
  EXPECT_EQ(guest.config<std::uint32_t>(0x10), kBar);
  for (std::uint8_t type = 1; type <= 5; ++type) EXPECT_NE(guest.capability(0x09, type), 0U);
  const auto notify = guest.capability(0x09, 2);
  EXPECT_EQ(guest.config<std::uint32_t>(notify + 8), kNotify);
  EXPECT_EQ(guest.config<std::uint32_t>(notify + 16), 4U);
  ASSERT_EQ(host.noted.size(), 1U);
  EXPECT_EQ(host.noted.front().first, kBar + kNotify);
}

TEST(VirtioPci, FillsARequestAndInterrupts) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Entropy>()};
  guest.pci.resumed();
  guest.bring_up();
  EXPECT_EQ(guest.status(), kDriverBits | VirtioCore::kFeaturesOk | VirtioCore::kDriverOk);
  guest.ask(0, 64);
  EXPECT_EQ(host.messages(1), (Messages{{0xfee00000, 0x41}}));
  EXPECT_EQ(guest.driver.used(), 1);
  EXPECT_EQ(guest.driver.used_element(0).length, 64U);
  const auto bytes = host.ram.at({Driver::kData}, 64);
  EXPECT_NE(std::ranges::count(bytes, std::byte{0}), 64);
}

TEST(VirtioPci, OffersItsFeaturesAndItsConfiguration) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Slow>()};
  std::uint64_t offered = 0;
  for (const std::uint32_t select : {1U, 0U, 2U}) {
    guest.out<std::uint32_t>(0, select);
    const auto word = guest.in<std::uint32_t>(4);
    if (select < 2) {
      offered |= std::uint64_t{word} << 32 * select;
    } else {
      EXPECT_EQ(word, 0U);
    }
  }
  EXPECT_EQ(offered,
            1U << 9 | VirtioCore::kIndirect | VirtioCore::kEventIndex | VirtioCore::kVersion1);
  EXPECT_EQ(guest.in<std::uint16_t>(18), 2);
  EXPECT_EQ(guest.in<std::uint32_t>(0x2000), 0x00030201U);
  EXPECT_EQ(guest.in<std::uint32_t>(0x2002), 3U);
  EXPECT_EQ(guest.in<std::uint32_t>(0x2ffc), 0U);
}

TEST(VirtioPci, AgreesOnFeaturesThatItHasAndOnNoOthers) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  for (const std::uint64_t features :
       {std::uint64_t{0}, std::uint64_t{1} << 9, VirtioCore::kVersion1 | 1U << 3,
        VirtioCore::kVersion1 | std::uint64_t{1} << 34}) {
    guest.set_features(features);
    EXPECT_EQ(guest.status(), kDriverBits) << features;
    guest.out<std::uint8_t>(20, 0);
  }
  guest.set_features(VirtioCore::kVersion1 | 1U << 9);
  EXPECT_EQ(guest.status(), kDriverBits | VirtioCore::kFeaturesOk);
  guest.out<std::uint32_t>(8, 0);
  guest.out<std::uint32_t>(12, 0);  // too late
  guest.out<std::uint8_t>(20, VirtioCore::kDriverOk);
  EXPECT_EQ(device->agreed, VirtioCore::kVersion1 | 1U << 9);
}

TEST(VirtioPci, NeedsAResetWhenItIsToBeServedOutOfRules) {
  FakeHost host;
  for (const QueueState& state :
       {QueueState{.size = 3, .descriptors = 0x1000, .driver_area = 0x2000, .device_area = 0x3000},
        QueueState{
            .size = 8, .descriptors = 0xd0000000, .driver_area = 0x2000, .device_area = 0x3000},
        QueueState{
            .size = 8, .descriptors = UINT64_MAX - 15, .driver_area = 0, .device_area = 0}}) {
    PciGuest guest{host, std::make_shared<Slow>()};
    guest.pci.resumed();
    guest.bring_up(state);
    EXPECT_NE(guest.status() & VirtioCore::kNeedsReset, 0) << state.size;
    guest.out<std::uint8_t>(20, 0);
    EXPECT_EQ(guest.status(), 0);
    guest.bring_up();
    EXPECT_EQ(guest.status() & VirtioCore::kNeedsReset, 0);
  }
  PciGuest guest{host, std::make_shared<Slow>()};
  guest.out<std::uint8_t>(20, kDriverBits | VirtioCore::kDriverOk);
  EXPECT_NE(guest.status() & VirtioCore::kNeedsReset, 0);
}

TEST(VirtioPci, SaysThatItNeedsAResetWhenARequestIsUnsound) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Slow>()};
  guest.pci.resumed();
  guest.bring_up();
  guest.driver.offer(99);
  guest.out<std::uint16_t>(kNotify, 0);
  EXPECT_EQ(host.messages(1), (Messages{{0xfee00000, 0x40}}));
  EXPECT_NE(guest.status() & VirtioCore::kNeedsReset, 0);
  guest.out<std::uint8_t>(20, 0);
  EXPECT_EQ(guest.status(), 0);
}

TEST(VirtioPci, IsResetOnlyOnceNothingIsUnderWay) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0);
  device->wait_taken();
  guest.out<std::uint8_t>(20, 0);  // does not wait
  EXPECT_NE(guest.status(), 0);
  EXPECT_EQ(guest.in<std::uint16_t>(16), kNoVector);
  guest.out<std::uint8_t>(20, kDriverBits);  // too early
  guest.pci.resumed();
  EXPECT_FALSE(guest.pci.wait_paused(std::chrono::steady_clock::now()));
  device->complete_one();
  EXPECT_EQ(guest.status(), 0);
  EXPECT_EQ(guest.driver.used(), 1);
  EXPECT_TRUE(host.messages().empty());
  guest.driver.set_index(0);
  guest.bring_up();
  guest.ask(0);
  EXPECT_EQ(device->complete_one(), 0U);
  EXPECT_EQ(host.messages(1).size(), 1U);
}

// Who waits for a queue to be idle has it, too.
TEST(VirtioPci, IsResetWhileSomebodyWaitsForItToPause) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0);
  device->wait_taken();
  guest.pci.request_pause();
  std::thread waits([&] { EXPECT_TRUE(guest.pci.wait_paused(std::nullopt)); });
  guest.out<std::uint8_t>(20, 0);
  EXPECT_NE(guest.status(), 0);
  device->complete_one();
  EXPECT_EQ(guest.status(), 0);
  waits.join();
}

TEST(VirtioPci, EndsWithWhatIsUnderWay) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  std::thread later;
  {
    PciGuest guest{host, device};
    guest.pci.resumed();
    guest.bring_up();
    guest.ask(0);
    device->wait_taken();
    later = std::thread([&] { device->complete_one(); });
  }
  later.join();
  EXPECT_EQ(host.messages(1).size(), 1U);
}

TEST(VirtioPci, BeginsNothingWhilePaused) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.pci.request_pause();
  guest.bring_up();  // a vCPU's last access
  guest.ask(0);
  EXPECT_TRUE(guest.pci.wait_paused(std::nullopt));
  guest.pci.resumed();
  EXPECT_EQ(device->complete_one(), 0U);
}

TEST(VirtioPci, IsPausedWhenWhatIsUnderWayIsComplete) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0);
  device->wait_taken();
  guest.pci.request_pause();
  EXPECT_FALSE(guest.pci.wait_paused(std::chrono::steady_clock::now()));
  device->complete_one();
  EXPECT_TRUE(guest.pci.wait_paused(std::nullopt));
  EXPECT_EQ(guest.driver.used(), 1);
}

TEST(VirtioPci, TravelsAndServesThereWhatWasNotTaken) {
  FakeHost host;
  PciGuest from{host, std::make_shared<Slow>()};
  from.bring_up();
  from.ask(0, 32);
  const auto saved = from.pci.save();

  FakeHost there;
  std::ranges::copy(host.ram.pages({0, host.ram.page_count()}),
                    there.ram.pages({0, there.ram.page_count()}).begin());
  const auto device = std::make_shared<Slow>();
  PciGuest to{there, device};
  to.pci.load(1, saved);
  EXPECT_EQ(to.pci.save(), saved);
  EXPECT_EQ(to.config<std::uint32_t>(0x10), kBar);
  to.pci.resumed();
  EXPECT_EQ(device->complete_one(), 0U);
  EXPECT_EQ(there.messages(1), (Messages{{0xfee00000, 0x41}}));
  EXPECT_EQ(to.driver.used(), 1);
}

TEST(VirtioPci, RefusesAStateThatIsUnsound) {
  FakeHost host;
  PciGuest from{host, std::make_shared<Slow>()};
  from.bring_up();
  const auto saved = from.pci.save();
  PciGuest to{host, std::make_shared<Slow>()};
  EXPECT_THROW(to.pci.load(2, saved), std::invalid_argument);
  for (std::size_t size = 0; size < saved.size(); size += 7) {
    PciGuest other{host, std::make_shared<Slow>()};
    EXPECT_THROW(other.pci.load(1, std::span(saved).first(size)), std::invalid_argument) << size;
  }
  auto longer = saved;
  longer.push_back(std::byte{0});
  EXPECT_THROW(to.pci.load(1, longer), std::invalid_argument);
  // Each byte after the configuration space: it is loaded or refused, and never worse.
  for (std::size_t at = ConfigSpace::kBytes; at < saved.size(); ++at) {
    auto other = saved;
    other[at] = ~other[at];
    PciGuest guest{host, std::make_shared<Slow>()};
    try {
      guest.pci.load(1, other);
      guest.pci.resumed();
    } catch (const std::invalid_argument&) {
    }
  }
}

TEST(VirtioPci, ServesWhatIsLeftWhenTheSourceIsReadable) {
  FakeHost host;
  const auto device = std::make_shared<Fed>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0, 1);
  guest.ask(1, 1);
  EXPECT_TRUE(host.messages().empty());
  device->feed(1);
  EXPECT_EQ(host.messages(1).size(), 1U);
  device->feed(2);
  EXPECT_EQ(host.messages(2).size(), 2U);
  guest.ask(2, 1);
  EXPECT_EQ(host.messages(3).size(), 3U);
  EXPECT_EQ(guest.driver.used(), 3);
}

TEST(VirtioPci, DoesNotLookAtTheSourceWithoutRequestsOrWhilePaused) {
  FakeHost host;
  const auto device = std::make_shared<Fed>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  const unsigned begun = device->served(1);
  device->feed(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // nothing happens
  EXPECT_EQ(device->served(), begun);
  guest.ask(0, 1);
  EXPECT_EQ(host.messages(1).size(), 1U);
  guest.ask(1, 1);
  static_cast<void>(device->served(begun + 2));
  guest.pci.request_pause();
  EXPECT_TRUE(guest.pci.wait_paused(std::nullopt));
  device->feed(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LE(device->served(), begun + 2);
  EXPECT_EQ(guest.driver.used(), 1);
  guest.pci.resumed();
  EXPECT_EQ(host.messages(2).size(), 2U);
  EXPECT_LE(device->served(), begun + 4);
}

TEST(VirtioPci, LetsTheDeviceKnowOfAnArrivalOnce) {
  FakeHost host;
  const auto device = std::make_shared<Fed>();
  PciGuest from{host, std::make_shared<Fed>()};
  PciGuest to{host, device};
  to.pci.load(1, from.pci.save());
  EXPECT_EQ(device->told, "");
  to.pci.resumed();
  to.pci.request_pause();
  to.pci.resumed();
  EXPECT_EQ(device->told, "arrived resumed paused resumed ");
}

TEST(VirtioPci, HandsTheDeviceWhatItsDriverConfigures) {
  FakeHost host;
  const auto device = std::make_shared<Changing>();
  PciGuest guest{host, device};
  guest.out<std::uint8_t>(0x2000, 7);
  EXPECT_EQ(guest.in<std::uint16_t>(0x2000), 0x0907);
  guest.out<std::uint32_t>(0x2ffc, 1);
  EXPECT_EQ(device->written, 5U);
}

TEST(VirtioPci, TellsItsDriverThatTheConfigurationHasChanged) {
  FakeHost host;
  const auto device = std::make_shared<Changing>();
  {
    PciGuest guest{host, device};
    const auto generation = guest.in<std::uint8_t>(21);
    device->changed();  // there is no driver
    EXPECT_EQ(guest.in<std::uint8_t>(21), generation + 1);
    EXPECT_TRUE(host.messages().empty());
    guest.bring_up();
    device->changed();
    EXPECT_EQ(guest.in<std::uint8_t>(21), generation + 2);
    EXPECT_EQ(host.messages(), (Messages{{0xfee00000, 0x40}}));
  }
  device->changed();  // there is no machine any more
}

TEST(VirtioPci, TakesTheDevicesOwnStateAlong) {
  FakeHost host;
  const auto device = std::make_shared<Changing>();
  PciGuest from{host, device};
  device->value = std::byte{42};
  device->changed();
  const auto there = std::make_shared<Changing>();
  PciGuest to{host, there};
  to.pci.load(1, from.pci.save());
  EXPECT_EQ(there->value, std::byte{42});
  EXPECT_EQ(to.in<std::uint8_t>(21), 1);
}

TEST(VirtioPci, HasAWindowInItsConfigurationSpace) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Entropy>()};
  const std::uint64_t window = guest.capability(0x09, 5);
  const auto choose = [&](std::uint32_t offset, std::uint32_t length) {
    guest.set_config<std::uint32_t>(window + 8, offset);
    guest.set_config<std::uint32_t>(window + 12, length);
  };
  choose(18, 2);
  EXPECT_EQ(guest.config<std::uint16_t>(window + 16), 1);  // one queue
  choose(20, 1);
  guest.set_config<std::uint8_t>(window + 16, 1);
  EXPECT_EQ(guest.status(), 1);
  choose(UINT32_MAX, 4);
  EXPECT_EQ(guest.config<std::uint32_t>(window + 16), 0U);
  choose(0, 8);
  EXPECT_EQ(guest.config<std::uint32_t>(window + 16), UINT32_MAX);
}

}  // namespace
}  // namespace devices::virtio
