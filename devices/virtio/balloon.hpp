#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/virtio/virtio_device.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::virtio {

/// The memory balloon (virtio 1.2, section 5.5): what the guest does without, the host has.
///
///   set_target() --> the guest inflates: its pages go back to the host --> it tells the actual
///   size
///                    it deflates, or reports free pages and uses them: they come back as it
///                    touches them
class Balloon final : public VirtioDevice {
 public:
  // Its features.
  static constexpr std::uint64_t kDeflateOnOom = std::uint64_t{1} << 2;
  static constexpr std::uint64_t kPagePoison = std::uint64_t{1} << 4;
  static constexpr std::uint64_t kReporting = std::uint64_t{1} << 5;

  /// What a guest keeps of its RAM, at least.
  static constexpr std::uint64_t kKept = vmm::kMinMemory;

  // What it is called among what a machine needs of its host: without and with free-page reporting.
  static constexpr std::string_view kPlainPart = "balloon";
  static constexpr std::string_view kReportingPart = "balloon with free-page reporting";

  /// Bytes.
  struct Size {
    std::uint64_t target = 0;  ///< what the guest is asked for
    std::uint64_t actual = 0;  ///< what it says that it does without
  };

  /// `reporting`: the guest may report free pages.
  explicit Balloon(bool reporting) : reporting_(reporting) {}

  // For the host. Any thread.
  [[nodiscard]] Size size() const;
  /// In whole pages. std::invalid_argument when that is more than the machine can be without.
  void set_target(std::uint64_t bytes);

  [[nodiscard]] std::uint16_t type() const override { return 5; }
  [[nodiscard]] std::uint64_t features() const override;
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override;
  [[nodiscard]] std::vector<std::byte> config() const override;
  void write_config(std::uint64_t offset, std::span<const std::byte> bytes) override;
  [[nodiscard]] std::string host_part() const override;
  void save(vmm::ByteWriter& out) const override;
  void load(vmm::ByteReader<std::invalid_argument>& from) override;
  void begin(std::uint64_t features) override;
  void serve(unsigned index, ServedQueue& queue) override;

 private:
  /// Without the queues of features that are not offered (statistics, hints) these numbers are the
  /// same whatever the driver agrees on: it leaves out what is behind them alone.
  enum QueueIndex : unsigned { inflate_queue, deflate_queue, reporting_queue };
  static constexpr std::array<std::uint16_t, 3> kSizes = {128, 128, 64};

  static constexpr std::size_t kConfigBytes = 16;
  using Config = std::array<std::byte, kConfigBytes>;

  void attached(vmm::DeviceHost& host) override;
  [[nodiscard]] Config image() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool keeps_content() const;
  void inflate(const Request& request);
  void take_reported(const Request& request);
  void give_back(std::vector<vmm::PageRange> ranges);

  const bool reporting_;
  vmm::DeviceHost* host_ = nullptr;
  std::uint64_t most_ = 0;  ///< pages that it can be asked for
  std::atomic<bool> takes_reports_{false};
  std::atomic<bool> knows_poison_{false};

  mutable vmm::Mutex mutex_;
  std::uint32_t target_ FERRY_GUARDED_BY(mutex_) = 0;  ///< pages, as the others
  std::uint32_t actual_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint32_t poison_ FERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace devices::virtio
