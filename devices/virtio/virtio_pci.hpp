#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/pci/config_space.hpp"
#include "devices/pci/msix.hpp"
#include "devices/pci/pci_function.hpp"
#include "devices/virtio/virtio_core.hpp"
#include "devices/virtio/virtio_device.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::virtio {

/// A virtio device as a PCI function (virtio 1.2, section 4.1): modern, interrupts by MSI-X alone,
/// all structures in one BAR that never moves.
///
///   0x0000 common configuration   0x1000 ISR (always 0)    0x2000 the device's configuration
///   0x3000 notifications, four bytes a queue               0x4000 MSI-X table   0x5000 pending
class VirtioPci final : public vmm::Device, public PciFunction {
 public:
  static constexpr std::uint32_t kVersion = 1;

  /// `bar`: where the guest reaches it.
  VirtioPci(std::string id, std::shared_ptr<VirtioDevice> device, vmm::DeviceHost& host,
            vmm::GuestAddress bar);
  ~VirtioPci() override;
  VirtioPci(const VirtioPci&) = delete;
  VirtioPci& operator=(const VirtioPci&) = delete;

  /// It may outlive this object.
  [[nodiscard]] std::shared_ptr<VirtioDevice> device() const { return core_.shared_device(); }

  // vmm::Device: the BAR.
  [[nodiscard]] std::string_view id() const override { return id_; }
  [[nodiscard]] std::uint32_t version() const override { return kVersion; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void resumed() override { core_.resumed(); }
  void request_pause() override { core_.request_pause(); }
  [[nodiscard]] bool wait_paused(
      std::optional<std::chrono::steady_clock::time_point> deadline) override {
    return core_.wait_paused(deadline);
  }
  [[nodiscard]] std::string host_part() const override { return core_.device().host_part(); }
  [[nodiscard]] std::string about() const override { return core_.device().about(); }
  void acquire() override { core_.device().acquire(); }
  void release() override { core_.device().release(); }
  void prepare_release() override { core_.device().prepare_release(); }
  void note_run() override { core_.device().note_run(); }
  [[nodiscard]] bool tells_runs() const override { return core_.device().tells_runs(); }
  [[nodiscard]] std::optional<bool> held_elsewhere() const override {
    return core_.device().held_elsewhere();
  }
  [[nodiscard]] bool last_ran_here() const override { return core_.device().last_ran_here(); }
  [[nodiscard]] std::vector<vmm::PageIndex> working_set() override { return core_.working_set(); }
  [[nodiscard]] bool tells_free_pages() const override { return core_.device().tells_free_pages(); }
  void ask_for_free_pages(vmm::FreePageListener& listener) override {
    core_.device().ask_for_free_pages(listener);
  }
  void end_free_pages() override { core_.device().end_free_pages(); }
  [[nodiscard]] std::vector<std::byte> save() override;
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

  // PciFunction.
  void read_config(std::uint64_t offset, std::span<std::byte> data) override;
  void write_config(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  static constexpr std::uint16_t kNoVector = 0xffff;
  static constexpr std::size_t kCommonBytes = 56;
  using Common = std::array<std::byte, kCommonBytes>;

  void add_capabilities() FERRY_REQUIRES(mutex_);
  [[nodiscard]] Common common();
  void write_common(std::uint64_t offset, std::span<const std::byte> data);
  void write_queue(std::uint64_t offset, std::span<const std::byte> data) FERRY_REQUIRES(mutex_);
  void notify(std::uint64_t queue);
  void forget_vectors();
  [[nodiscard]] std::uint16_t checked_vector(std::uint16_t vector) const;
  void tell_used(unsigned queue);
  void tell_config();
  [[nodiscard]] bool begins_window(std::uint64_t offset) const;
  void read_window(std::span<std::byte> data);
  void write_window(std::span<const std::byte> data);

  const std::string id_;
  Msix msix_;
  std::uint8_t msix_at_ = 0;  ///< of the capabilities
  std::uint8_t window_at_ = 0;

  vmm::Mutex mutex_;
  ConfigSpace space_ FERRY_GUARDED_BY(mutex_);
  std::uint32_t device_select_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint32_t driver_select_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint16_t queue_select_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint16_t config_vector_ FERRY_GUARDED_BY(mutex_) = kNoVector;
  std::vector<std::uint16_t> queue_vectors_ FERRY_GUARDED_BY(mutex_);

  VirtioCore core_;  ///< last: what is under way in it uses all else
};

}  // namespace devices::virtio
