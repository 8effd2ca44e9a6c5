#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/entropy.hpp"
#include "devices/virtio/virtio_pci.hpp"
#include "tests/devices/fake_host.hpp"
#include "tests/devices/virtio/driver.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::virtio {

inline constexpr std::uint32_t kBar = 0xd0008000;
inline constexpr std::uint64_t kNotify = 0x3000;
inline constexpr std::uint64_t kTable = 0x4000;
inline constexpr std::uint8_t kDriverBits = 1 | 2;  // ACKNOWLEDGE and DRIVER
inline constexpr std::uint16_t kNoVector = 0xffff;
inline constexpr std::uint32_t kDataBytes = 0x1800;  // not in whole pages

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

}  // namespace devices::virtio
