#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
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
///
///   ask_for_free_pages() --> the guest hints at free pages, and holds them --> end_free_pages()
class Balloon final : public VirtioDevice {
 public:
  // Its features.
  static constexpr std::uint64_t kDeflateOnOom = std::uint64_t{1} << 2;
  static constexpr std::uint64_t kHints = std::uint64_t{1} << 3;
  static constexpr std::uint64_t kPagePoison = std::uint64_t{1} << 4;
  static constexpr std::uint64_t kReporting = std::uint64_t{1} << 5;

  /// What a guest keeps of its RAM, at least.
  static constexpr std::uint64_t kKept = vmm::kMinMemory;

  // What the driver reads when no hints are wanted: none ever were, and no more of the last run.
  // A run has a number of its own, above these.
  static constexpr std::uint32_t kStop = 0;
  static constexpr std::uint32_t kDone = 1;

  /// What the guest may tell of its free pages.
  struct Offers {
    bool hints = true;
    bool reporting = false;

    bool operator==(const Offers&) const = default;
  };
  /// By host_part(); nullopt when that is none of a balloon.
  [[nodiscard]] static std::optional<Offers> offers_of(std::string_view host_part);

  /// Bytes.
  struct Size {
    std::uint64_t target = 0;  ///< what the guest is asked for
    std::uint64_t actual = 0;  ///< what it says that it does without
  };

  explicit Balloon(Offers offers);

  // For the host. Any thread.
  [[nodiscard]] Size size() const;
  /// In whole pages. std::invalid_argument when that is more than the machine can be without.
  void set_target(std::uint64_t bytes);

  [[nodiscard]] std::uint16_t type() const override { return 5; }
  [[nodiscard]] std::uint64_t features() const override;
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return sizes_; }
  [[nodiscard]] bool writes() const override { return false; }
  [[nodiscard]] std::vector<std::byte> config() const override;
  void write_config(std::uint64_t offset, std::span<const std::byte> bytes) override;
  [[nodiscard]] std::string host_part() const override;
  [[nodiscard]] bool tells_free_pages() const override;
  void ask_for_free_pages(vmm::FreePageListener& listener) override;
  void end_free_pages() override;
  void save(vmm::ByteWriter& out) const override;
  void load(vmm::ByteReader<std::invalid_argument>& from) override;
  void begin(std::uint64_t features) override;
  void serve(unsigned index, ServedQueue& queue) override;

 private:
  /// After these comes the queue of hints, if the driver agrees on them, then that of reports: a
  /// queue that it does without has no number.
  enum QueueIndex : unsigned { inflate_queue, deflate_queue, first_of_free_pages };

  static constexpr std::size_t kConfigBytes = 16;
  using Config = std::array<std::byte, kConfigBytes>;

  void attached(vmm::DeviceHost& host) override;
  [[nodiscard]] Config image() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool keeps_content() const;
  void inflate(const Request& request);
  void take_reported(const Request& request);
  void take_hint(const Request& request);
  void follow(std::uint32_t command) FERRY_REQUIRES(hints_mutex_);
  void give_back(std::vector<vmm::PageRange> ranges);

  const Offers offers_;
  const std::vector<std::uint16_t> sizes_;
  vmm::DeviceHost* host_ = nullptr;
  std::uint64_t most_ = 0;  ///< pages that it can be asked for
  std::atomic<bool> takes_hints_{false};
  std::atomic<bool> takes_reports_{false};
  std::atomic<bool> knows_poison_{false};

  vmm::Mutex hints_mutex_;  ///< held while a listener is called; taken before the other
  vmm::FreePageListener* listener_ FERRY_GUARDED_BY(hints_mutex_) = nullptr;
  /// The driver has taken up this very run, and not ended it.
  bool answers_ FERRY_GUARDED_BY(hints_mutex_) = false;

  mutable vmm::Mutex mutex_;
  std::uint32_t target_ FERRY_GUARDED_BY(mutex_) = 0;  ///< pages, as the others
  std::uint32_t actual_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint32_t run_ FERRY_GUARDED_BY(mutex_) = kDone;  ///< the newest; kDone: there was none
  std::uint32_t command_ FERRY_GUARDED_BY(mutex_) = kStop;
  std::uint32_t poison_ FERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace devices::virtio
