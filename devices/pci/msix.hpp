#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"
#include "vmm/os/mutex.hpp"

namespace devices {

/// A function's interrupts by message: the MSI-X table and its pending bits (PCI local bus
/// specification 3.0, section 6.8.2). Any thread.
class Msix {
 public:
  using Send = std::function<void(std::uint64_t address, std::uint32_t data)>;
  static constexpr std::uint8_t kCapability = 0x11;
  static constexpr std::size_t kEntryBytes = 16;

  /// `vectors`: 1 to 64. `send` must not block.
  Msix(std::size_t vectors, Send send);

  [[nodiscard]] std::size_t vectors() const { return vectors_; }
  /// Bytes of the capability after its header: a table and pending bits at these offsets in BAR 0.
  [[nodiscard]] std::array<std::byte, 10> capability(std::uint32_t table,
                                                     std::uint32_t pending) const;
  [[nodiscard]] static std::array<std::byte, 2> writable();

  /// The device has something to tell by that vector; one that is not there tells nothing. A vector
  /// that is masked waits.
  void trigger(std::uint16_t vector);
  /// The capability's control word as the guest has set it.
  void set_control(std::uint16_t control);

  /// Of the guest; any range.
  void read_table(std::uint64_t offset, std::span<std::byte> data);
  void write_table(std::uint64_t offset, std::span<const std::byte> data);
  void read_pending(std::uint64_t offset, std::span<std::byte> data);

  void reset();
  void save(vmm::ByteWriter& out);
  void load(vmm::ByteReader<std::invalid_argument>& from);

 private:
  struct Entry {
    std::uint64_t address = 0;
    std::uint32_t data = 0;
    std::uint32_t control = 1;  ///< bit 0: masked
  };
  static_assert(sizeof(Entry) == kEntryBytes);

  void send_pending() FERRY_REQUIRES(mutex_);

  const std::size_t vectors_;
  const Send send_;
  vmm::Mutex mutex_;
  std::vector<Entry> table_ FERRY_GUARDED_BY(mutex_);
  std::uint64_t pending_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint16_t control_ FERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace devices
