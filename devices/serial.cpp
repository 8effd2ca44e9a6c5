#include "devices/serial.hpp"

#include <algorithm>
#include <utility>

namespace devices {

namespace {

enum Register : std::uint64_t { data = 0, ier = 1, iir_fcr = 2, lcr = 3, mcr = 4, lsr = 5, msr = 6 };

constexpr std::uint8_t kIerReceived = 0x01;
constexpr std::uint8_t kIerThrEmpty = 0x02;
constexpr std::uint8_t kIerLineStatus = 0x04;

constexpr std::uint8_t kIirNone = 0x01;
constexpr std::uint8_t kIirThrEmpty = 0x02;
constexpr std::uint8_t kIirReceived = 0x04;
constexpr std::uint8_t kIirLineStatus = 0x06;
constexpr std::uint8_t kIirTimeout = 0x0c;
constexpr std::uint8_t kIirFifos = 0xc0;

constexpr std::uint8_t kFcrEnable = 0x01;
constexpr std::uint8_t kFcrClearReceived = 0x02;

constexpr std::uint8_t kLcrDlab = 0x80;
constexpr std::uint8_t kMcrLoopback = 0x10;

constexpr std::uint8_t kLsrDataReady = 0x01;
constexpr std::uint8_t kLsrOverrun = 0x02;
constexpr std::uint8_t kLsrTransmitterEmpty = 0x60;  // holding register and shift register

std::byte take_front(std::vector<std::byte>& queue) {
  const std::byte byte = queue.front();
  queue.erase(queue.begin());
  return byte;
}

}  // namespace

Serial::Serial(std::string id, vmm::IrqLine irq) : id_(std::move(id)), irq_(std::move(irq)) {}

std::size_t Serial::receive(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  if (frozen_) return 0;
  const std::size_t taken = std::min(bytes.size(), kSerialInput - state_.input.size());
  state_.input.insert(state_.input.end(), bytes.begin(),
                      bytes.begin() + static_cast<std::ptrdiff_t>(taken));
  refill_fifo();
  update_irq();
  return taken;
}

std::size_t Serial::input_room() const {
  const std::lock_guard lock(mutex_);
  return frozen_ ? 0 : kSerialInput - state_.input.size();
}

std::size_t Serial::drain(const std::function<std::size_t(std::span<const std::byte>)>& sink) {
  const std::lock_guard lock(mutex_);
  if (frozen_ || state_.output.empty()) return 0;
  const bool was_ready = transmitter_ready();
  const std::size_t taken = std::min(sink(state_.output), state_.output.size());
  state_.output.erase(state_.output.begin(),
                      state_.output.begin() + static_cast<std::ptrdiff_t>(taken));
  if (!was_ready && transmitter_ready()) {
    state_.thr_empty_pending = true;
    update_irq();
  }
  return taken;
}

void Serial::read(std::uint64_t offset, std::span<std::byte> bytes) {
  bool room = false;
  {
    const std::lock_guard lock(mutex_);
    const bool was_full = state_.input.size() == kSerialInput;
    std::ranges::fill(bytes, std::byte{0});
    bytes.front() = static_cast<std::byte>(read_register(offset));
    update_irq();
    room = was_full && state_.input.size() < kSerialInput;
  }
  if (room && on_input_room_) on_input_room_();
}

void Serial::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  bool output = false;
  {
    const std::lock_guard lock(mutex_);
    const bool was_empty = state_.output.empty();
    write_register(offset, std::to_integer<std::uint8_t>(bytes.front()));
    update_irq();
    output = was_empty && !state_.output.empty();
  }
  if (output && on_output_) on_output_();
}

std::uint8_t Serial::read_register(std::uint64_t offset) {
  const bool dlab = (state_.lcr & kLcrDlab) != 0;
  switch (offset) {
    case data: return dlab ? state_.dll : take_received();
    case ier: return dlab ? state_.dlm : state_.ier;
    case iir_fcr: {
      const std::uint8_t pending = pending_interrupt();
      if (pending == kIirThrEmpty) state_.thr_empty_pending = false;
      return (state_.fcr & kFcrEnable) != 0 ? pending | kIirFifos : pending;
    }
    case lcr: return state_.lcr;
    case mcr: return state_.mcr;
    case lsr: return line_status();
    case msr: return modem_status();
    default: return state_.scr;
  }
}

void Serial::write_register(std::uint64_t offset, std::uint8_t value) {
  const bool dlab = (state_.lcr & kLcrDlab) != 0;
  switch (offset) {
    case data:
      if (dlab) {
        state_.dll = value;
      } else {
        transmit(static_cast<std::byte>(value));
      }
      break;
    case ier:
      if (dlab) {
        state_.dlm = value;
      } else {
        // Enabling the transmitter's interrupt while it is idle raises it.
        if ((value & ~state_.ier & kIerThrEmpty) != 0) {
          state_.thr_empty_pending = transmitter_ready();
        }
        state_.ier = value & 0x0f;
      }
      break;
    case iir_fcr: set_fifo_control(value); break;
    case lcr: state_.lcr = value; break;
    case mcr: state_.mcr = value & 0x1f; break;
    case lsr:
    case msr: break;  // read only
    default: state_.scr = value; break;
  }
}

void Serial::transmit(std::byte byte) {
  if ((state_.mcr & kMcrLoopback) != 0) {
    if (state_.fifo.size() < kSerialFifo) {
      state_.fifo.push_back(byte);
    } else {
      state_.overrun = true;
    }
    state_.thr_empty_pending = true;
    return;
  }
  // A guest that writes although the transmitter is busy loses the byte, as with the chip.
  if (state_.output.size() < kSerialOutput) state_.output.push_back(byte);
  state_.thr_empty_pending = transmitter_ready();
}

void Serial::set_fifo_control(std::uint8_t value) {
  const bool toggled = ((value ^ state_.fcr) & kFcrEnable) != 0;
  if (toggled || (value & kFcrClearReceived) != 0) state_.fifo.clear();
  // The other bits reset FIFOs or choose DMA, which this chip does not do; 6 and 7 are the trigger.
  state_.fcr = value & (kFcrEnable | 0xc0);
}

std::uint8_t Serial::take_received() {
  if (state_.fifo.empty()) return 0;
  const std::byte byte = take_front(state_.fifo);
  refill_fifo();
  return std::to_integer<std::uint8_t>(byte);
}

/// The host is patient: what does not fit the FIFO waits, and nothing overruns.
void Serial::refill_fifo() {
  if ((state_.mcr & kMcrLoopback) != 0) return;
  const std::size_t depth = (state_.fcr & kFcrEnable) != 0 ? kSerialFifo : 1;
  while (state_.fifo.size() < depth && !state_.input.empty()) {
    state_.fifo.push_back(take_front(state_.input));
  }
}

/// Ready means that a whole FIFO of bytes has room: a driver writes so many without asking again.
bool Serial::transmitter_ready() const {
  return state_.output.size() + kSerialFifo <= kSerialOutput;
}

std::uint8_t Serial::line_status() {
  // Input that came while a FIFO was being reset, or looped back, is taken up here.
  refill_fifo();
  std::uint8_t status = transmitter_ready() ? kLsrTransmitterEmpty : 0;
  if (!state_.fifo.empty()) status |= kLsrDataReady;
  if (std::exchange(state_.overrun, false)) status |= kLsrOverrun;
  return status;
}

std::uint8_t Serial::modem_status() const {
  if ((state_.mcr & kMcrLoopback) == 0) return 0xb0;  // CTS, DSR, DCD
  const unsigned control = state_.mcr;
  return static_cast<std::uint8_t>((control & 0x02) << 3 | (control & 0x01) << 5 |
                                   (control & 0x04) << 4 | (control & 0x08) << 4);
}

std::uint8_t Serial::pending_interrupt() const {
  if ((state_.ier & kIerLineStatus) != 0 && state_.overrun) return kIirLineStatus;
  if ((state_.ier & kIerReceived) != 0 && !state_.fifo.empty()) {
    if ((state_.fcr & kFcrEnable) == 0) return kIirReceived;
    constexpr std::size_t kTriggers[] = {1, 4, 8, 14};
    // Below the trigger the chip waits four character times; this line takes no time.
    return state_.fifo.size() >= kTriggers[state_.fcr >> 6] ? kIirReceived : kIirTimeout;
  }
  if ((state_.ier & kIerThrEmpty) != 0 && state_.thr_empty_pending) return kIirThrEmpty;
  return kIirNone;
}

void Serial::update_irq() {
  const bool high = pending_interrupt() != kIirNone;
  if (std::exchange(irq_high_, high) != high) irq_.set_level(high);
}

void Serial::resumed() {
  {
    const std::lock_guard lock(mutex_);
    frozen_ = false;
    refill_fifo();
    // The interrupt controllers were loaded without the level of their inputs.
    irq_high_ = pending_interrupt() != kIirNone;
    irq_.set_level(irq_high_);
  }
  if (on_output_) on_output_();
  if (on_input_room_) on_input_room_();
}

std::vector<std::byte> Serial::save() {
  const std::lock_guard lock(mutex_);
  frozen_ = true;
  return encode(state_);
}

void Serial::load(std::uint32_t version, std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  state_ = decode_serial_state(version, bytes);
  frozen_ = true;
}

}  // namespace devices
