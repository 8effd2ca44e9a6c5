#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "devices/serial_state.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/machine/irq_line.hpp"

namespace devices {

/// A 16550A UART. The guest's side is that of the data sheet (National Semiconductor PC16550D),
/// with a line that takes no time. The host's side is two bounded queues.
///
/// A host that does not read in time never stops a vCPU: when the output queue is full the
/// transmitter reports that it is busy, and a guest that asks before it writes loses nothing.
///
/// Between `save` and `resumed` the device is frozen: the queues belong to the saved state, and the
/// host neither takes nor gives a byte. So a byte is printed by the side that owns the VM, and by
/// no other.
class Serial : public vmm::Device {
 public:
  Serial(std::string id, vmm::IrqLine irq);

  // The host's side; any thread.
  /// Offers input; returns how many bytes were taken, from the front.
  std::size_t receive(std::span<const std::byte> bytes);
  [[nodiscard]] std::size_t input_room() const;
  /// Gives the sink the next bytes that the guest wrote; the sink returns how many of them it took.
  /// Returns that number. The sink must not block and not call this device.
  std::size_t drain(const std::function<std::size_t(std::span<const std::byte>)>& sink);
  /// Told, from any thread, when there is output to drain, and when input fits again. Set before
  /// the machine runs.
  void on_output(std::function<void()> handler) { on_output_ = std::move(handler); }
  void on_input_room(std::function<void()> handler) { on_input_room_ = std::move(handler); }

  // vmm::Device
  [[nodiscard]] std::string_view id() const override { return id_; }
  [[nodiscard]] std::uint32_t version() const override { return kSerialStateVersion; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void resumed() override;
  [[nodiscard]] std::vector<std::byte> save() override;
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  // All of these with mutex_ held.
  std::uint8_t read_register(std::uint64_t offset);
  void write_register(std::uint64_t offset, std::uint8_t value);
  void transmit(std::byte byte);
  void set_fifo_control(std::uint8_t value);
  std::uint8_t take_received();
  void refill_fifo();
  [[nodiscard]] bool transmitter_ready() const;
  [[nodiscard]] std::uint8_t line_status();
  [[nodiscard]] std::uint8_t modem_status() const;
  [[nodiscard]] std::uint8_t pending_interrupt() const;
  void update_irq();

  const std::string id_;
  const vmm::IrqLine irq_;
  std::function<void()> on_output_;
  std::function<void()> on_input_room_;

  mutable std::mutex mutex_;
  SerialState state_;
  bool irq_high_ = false;
  bool frozen_ = false;
};

}  // namespace devices
