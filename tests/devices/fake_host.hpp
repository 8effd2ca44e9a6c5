#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "vmm/machine/device_host.hpp"
#include "vmm/os/mutex.hpp"

namespace devices {

/// A machine that notes what its devices ask of it.
struct FakeHost final : vmm::DeviceHost {
  std::vector<vmm::GuestEnd> ends;
  int resets = 0;
  std::vector<bool> levels;  ///< of all interrupt lines, in order
  vmm::GuestMemory ram{vmm::kMinMemory};
  bool lacking = false;                              ///< pages
  std::vector<std::pair<std::uint64_t, int>> noted;  ///< by note_writes()

  vmm::IrqLine irq_line(std::uint32_t /*gsi*/) override {
    return vmm::IrqLine([this](bool high) { levels.push_back(high); });
  }
  vmm::GuestMemory& memory() override { return ram; }
  [[nodiscard]] bool lacks_pages() const override { return lacking; }
  void signal_message(std::uint64_t address, std::uint32_t data) override {
    const vmm::Lock lock(mutex_);
    messages_.emplace_back(address, data);
    told_.notify_all();
  }
  void note_writes(vmm::GuestAddress address, int eventfd) override {
    noted.emplace_back(address.value, eventfd);
  }
  void end(vmm::GuestEnd end) override { ends.push_back(std::move(end)); }
  void reset() override { ++resets; }

  /// The interrupts by message so far, once there are `count`, or fewer after some seconds.
  std::vector<std::pair<std::uint64_t, std::uint32_t>> messages(std::size_t count = 0) {
    vmm::Lock lock(mutex_);
    static_cast<void>(
        told_.wait_for(lock, std::chrono::seconds(30), [&] { return messages_.size() >= count; }));
    return messages_;
  }

 private:
  vmm::Mutex mutex_;
  vmm::Condition told_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> messages_;
};

}  // namespace devices
