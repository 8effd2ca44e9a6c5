#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/byte_queue.hpp"
#include "devices/serial_state.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/machine/irq_line.hpp"
#include "vmm/os/mutex.hpp"

namespace devices {

/// A 16550A UART on eight ports, with a host at the other end of its cable.
///
///   guest THR --> output queue --> drain(sink)            64 KiB
///   guest RBR <-- FIFO <-- input queue <-- fill(source)   16 bytes, 4 KiB
///
/// Sending takes no time: a byte is in the output queue at once. While a FIFO's worth of bytes no
/// longer fits there, the transmitter is not empty: a host that stalls holds up a guest that waits
/// for the transmitter, and never the vCPU thread; a guest that does not wait loses bytes, as on
/// hardware. A byte from the host arrives in the FIFO when the guest takes one or has enabled the
/// interrupt, so that a driver that resets the FIFO first loses nothing.
///
/// From save() or load() until resumed() the queues are frozen: the host can neither take nor offer
/// bytes, which so are in the saved state or outside, and never both. It has no I/O of its own for
/// pause() to wait for: a host goes on to print what a paused guest has sent.
class Serial final : public vmm::Device {
 public:
  /// Takes some of the bytes, from the front, and returns how many. Must not block.
  using Sink = std::function<std::size_t(std::span<const std::byte>)>;
  /// Puts some bytes at the front of the room it is given and returns how many. Must not block.
  using Source = std::function<std::size_t(std::span<std::byte>)>;

  Serial(std::string id, vmm::DeviceHost& host, std::uint32_t gsi);

  // Host side; any thread. The machine must still be there.

  /// Lets `source` give input, once. False when there is no room now: it was not asked, and
  /// `on_input_room` will be called. What it gives is the guest's: it either arrives here or
  /// travels with the saved state.
  bool fill(const Source& source);
  /// Gives the output to `sink`, in order, until it takes less than it is given or none is left;
  /// how many bytes it took. vCPUs are not held up by the sink.
  std::size_t drain(const Sink& sink);

  /// Before the machine first runs. Called when there is output to drain and there was none, or it
  /// was frozen; from vCPU threads mostly, so it must be cheap.
  void on_output(std::function<void()> handler);
  /// Before the machine first runs. Called when there is room again after fill() found none; from
  /// vCPU threads mostly.
  void on_input_room(std::function<void()> handler);

  // vmm::Device.
  [[nodiscard]] std::string_view id() const override { return id_; }
  [[nodiscard]] std::uint32_t version() const override { return SerialState::kVersion; }
  /// Each byte of a wide access goes to a register of its own, as on an 8-bit bus.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void resumed() override;
  [[nodiscard]] std::vector<std::byte> save() override;
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  std::uint8_t read_register(std::uint64_t offset) FERRY_REQUIRES(mutex_);
  void write_register(std::uint64_t offset, std::uint8_t value) FERRY_REQUIRES(mutex_);
  void transmit(std::byte byte) FERRY_REQUIRES(mutex_);
  void receive_looped(std::byte byte) FERRY_REQUIRES(mutex_);
  void write_fifo_control(std::uint8_t value) FERRY_REQUIRES(mutex_);
  void write_modem_control(std::uint8_t value) FERRY_REQUIRES(mutex_);
  std::uint8_t take_received() FERRY_REQUIRES(mutex_);
  std::uint8_t take_interrupt_cause() FERRY_REQUIRES(mutex_);
  std::uint8_t take_line_status() FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool fifo_enabled() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool looped() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool transmitter_ready() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] std::size_t trigger_level() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] std::uint8_t modem_lines() const FERRY_REQUIRES(mutex_);
  [[nodiscard]] std::uint8_t interrupt_cause() const FERRY_REQUIRES(mutex_);
  void let_input_arrive() FERRY_REQUIRES(mutex_);
  void update_irq() FERRY_REQUIRES(mutex_);

  const std::string id_;
  const vmm::IrqLine irq_;
  std::function<void()> on_output_;
  std::function<void()> on_input_room_;

  vmm::Mutex mutex_;
  vmm::Condition host_done_;
  SerialRegisters registers_ FERRY_GUARDED_BY(mutex_);
  ByteQueue fifo_ FERRY_GUARDED_BY(mutex_){SerialState::kFifoBytes};
  ByteQueue input_ FERRY_GUARDED_BY(mutex_){SerialState::kInputBytes};
  ByteQueue output_ FERRY_GUARDED_BY(mutex_){SerialState::kOutputBytes};
  bool irq_high_ FERRY_GUARDED_BY(mutex_) = false;
  bool frozen_ FERRY_GUARDED_BY(mutex_) = false;
  /// A sink is reading the front of output_.
  bool draining_ FERRY_GUARDED_BY(mutex_) = false;
  /// A source is writing behind the end of input_.
  bool filling_ FERRY_GUARDED_BY(mutex_) = false;
  /// The host is owed a call of on_input_room_.
  bool room_owed_ FERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace devices
