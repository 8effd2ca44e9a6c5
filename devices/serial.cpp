#include "devices/serial.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "devices/serial_registers.hpp"

namespace devices {

Serial::Serial(std::string id, vmm::DeviceHost& host, std::uint32_t gsi)
    : id_(std::move(id)), irq_(host.irq_line(gsi)) {}

void Serial::on_output(std::function<void()> handler) { on_output_ = std::move(handler); }

void Serial::on_input_room(std::function<void()> handler) { on_input_room_ = std::move(handler); }

bool Serial::fill(const Source& source) {
  vmm::Lock lock(mutex_);
  const auto room = input_.back();
  room_owed_ = frozen_ || room.empty();
  if (room_owed_) return false;
  // The lock is not held while the source works, so that vCPUs can go on; save() waits for it.
  filling_ = true;
  lock.unlock();
  std::size_t given = 0;
  std::exception_ptr failure;
  try {
    given = source(room);
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  filling_ = false;
  input_.extend(given);
  if (given > 0) update_irq();
  host_done_.notify_all();
  if (failure) std::rethrow_exception(failure);
  return true;
}

std::size_t Serial::drain(const Sink& sink) {
  vmm::Lock lock(mutex_);
  std::size_t total = 0;
  while (!frozen_ && !draining_ && !output_.empty()) {
    const auto bytes = output_.front();
    // The lock is not held while the sink works, so that vCPUs can go on; save() waits for it.
    draining_ = true;
    lock.unlock();
    std::size_t taken = 0;
    std::exception_ptr failure;
    try {
      taken = sink(bytes);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    draining_ = false;
    const bool was_ready = transmitter_ready();
    output_.pop(taken);
    total += taken;
    if (!was_ready && transmitter_ready()) registers_.holding_empty = true;
    update_irq();
    host_done_.notify_all();
    if (failure) std::rethrow_exception(failure);
    if (taken < bytes.size()) break;
  }
  return total;
}

void Serial::read(std::uint64_t offset, std::span<std::byte> data) {
  bool room = false;
  {
    const vmm::Lock lock(mutex_);
    for (std::byte& byte : data) byte = std::byte{read_register(offset++)};
    update_irq();
    room = room_owed_ && input_.room() > 0;
    if (room) room_owed_ = false;
  }
  if (room && on_input_room_) on_input_room_();
}

void Serial::write(std::uint64_t offset, std::span<const std::byte> data) {
  bool output = false;
  {
    const vmm::Lock lock(mutex_);
    const bool was_empty = output_.empty();
    for (const std::byte byte : data) {
      write_register(offset++, std::to_integer<std::uint8_t>(byte));
    }
    update_irq();
    output = was_empty && !output_.empty();
  }
  if (output && on_output_) on_output_();
}

void Serial::resumed() {
  bool output = false;
  bool room = false;
  {
    const vmm::Lock lock(mutex_);
    frozen_ = false;
    // The interrupt controllers were saved before this device and know nothing of a change in
    // between: told once more, they miss none.
    irq_high_ = interrupt_cause() != kIirNone;
    irq_.set_level(irq_high_);
    output = !output_.empty();
    room = std::exchange(room_owed_, false);
  }
  if (output && on_output_) on_output_();
  if (room && on_input_room_) on_input_room_();
}

std::vector<std::byte> Serial::save() {
  vmm::Lock lock(mutex_);
  frozen_ = true;
  host_done_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return !draining_ && !filling_; });
  return encode({registers_, fifo_.contents(), input_.contents(), output_.contents()});
}

void Serial::load(std::uint32_t version, std::span<const std::byte> bytes) {
  const SerialState state = decode_serial_state(version, bytes);
  vmm::Lock lock(mutex_);
  frozen_ = true;
  host_done_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return !draining_ && !filling_; });
  registers_ = state.registers;
  for (auto [queue, saved] :
       {std::pair{&fifo_, &state.fifo}, {&input_, &state.input}, {&output_, &state.output}}) {
    queue->clear();
    queue->push(*saved);
  }
}

std::uint8_t Serial::read_register(std::uint64_t offset) {
  const bool dlab = (registers_.line_control & kLcrDlab) != 0;
  switch (offset) {
    case kDataRegister: return dlab ? registers_.divisor_low : take_received();
    case kIer: return dlab ? registers_.divisor_high : registers_.interrupt_enable;
    case kIirFcr: return take_interrupt_cause();
    case kLcr: return registers_.line_control;
    case kMcr: return registers_.modem_control;
    case kLsr: return take_line_status();
    case kMsr: return modem_lines() | std::exchange(registers_.modem_changes, std::uint8_t{0});
    case kScr: return registers_.scratch;
    default: return 0xff;
  }
}

void Serial::write_register(std::uint64_t offset, std::uint8_t value) {
  const bool dlab = (registers_.line_control & kLcrDlab) != 0;
  switch (offset) {
    case kDataRegister:
      if (dlab) {
        registers_.divisor_low = value;
      } else {
        transmit(std::byte{value});
      }
      break;
    case kIer:
      if (dlab) {
        registers_.divisor_high = value;
        break;
      }
      // Enabling the interrupt with the transmitter empty raises it: drivers start to send so.
      if ((value & ~registers_.interrupt_enable & kIerHoldingEmpty) != 0) {
        registers_.holding_empty = transmitter_ready();
      }
      registers_.interrupt_enable = value & kIerMask;
      break;
    case kIirFcr: write_fifo_control(value); break;
    case kLcr: registers_.line_control = value; break;
    case kMcr: write_modem_control(value); break;
    case kScr: registers_.scratch = value; break;
    default: break;  // LSR and MSR are read-only
  }
}

void Serial::transmit(std::byte byte) {
  if (looped()) {
    receive_looped(byte);
  } else {
    output_.push(byte);
  }
  registers_.holding_empty = transmitter_ready();
}

/// Nobody paces what the guest sends to itself: the receiver can overrun.
void Serial::receive_looped(std::byte byte) {
  const std::size_t capacity = fifo_enabled() ? SerialState::kFifoBytes : 1;
  if (fifo_.size() >= capacity) {
    registers_.overrun = true;
    // A full FIFO keeps what it has; without one the newer byte replaces the older.
    if (fifo_enabled()) return;
    fifo_.clear();
  }
  fifo_.push(byte);
}

void Serial::write_fifo_control(std::uint8_t value) {
  const std::uint8_t changed = value ^ registers_.fifo_control;
  if (((changed & kFcrEnable) | (value & kFcrClearReceiver)) != 0) fifo_.clear();
  // The other bits are programmed only together with the enable bit.
  registers_.fifo_control =
      (value & kFcrEnable) != 0 ? value & (kFcrEnable | kFcrTriggerMask) : std::uint8_t{0};
}

void Serial::write_modem_control(std::uint8_t value) {
  const std::uint8_t before = modem_lines();
  const bool was_ready = transmitter_ready();
  registers_.modem_control = value & kMcrMask;
  const std::uint8_t after = modem_lines();
  auto changes = static_cast<std::uint8_t>((before ^ after) >> 4);
  // The ring indicator alone is noted at its end only.
  if ((after & kMsrRi) != 0) changes &= static_cast<std::uint8_t>(~kMsrRiEnded);
  registers_.modem_changes |= changes;
  if (!was_ready && transmitter_ready()) registers_.holding_empty = true;
}

std::uint8_t Serial::take_received() {
  let_input_arrive();
  if (fifo_.empty()) return 0;
  const auto byte = std::to_integer<std::uint8_t>(fifo_.front().front());
  fifo_.pop(1);
  return byte;
}

std::uint8_t Serial::take_interrupt_cause() {
  const std::uint8_t cause = interrupt_cause();
  if (cause == kIirHoldingEmpty) registers_.holding_empty = false;
  return cause | (fifo_enabled() ? kIirFifos : std::uint8_t{0});
}

std::uint8_t Serial::take_line_status() {
  std::uint8_t status = 0;
  if (!fifo_.empty() || (!looped() && !input_.empty())) status |= kLsrDataReady;
  if (std::exchange(registers_.overrun, false)) status |= kLsrOverrun;
  if (transmitter_ready()) status |= kLsrHoldingEmpty | kLsrTransmitterEmpty;
  return status;
}

bool Serial::fifo_enabled() const { return (registers_.fifo_control & kFcrEnable) != 0; }

bool Serial::looped() const { return (registers_.modem_control & kMcrLoop) != 0; }

/// An empty transmitter promises room for a whole FIFO: drivers fill it without looking again.
bool Serial::transmitter_ready() const {
  return looped() || output_.room() >= SerialState::kFifoBytes;
}

std::size_t Serial::trigger_level() const {
  constexpr std::array<std::size_t, 4> kLevels = {1, 4, 8, 14};
  return kLevels.at(registers_.fifo_control >> kFcrTriggerShift);
}

/// The cable is always connected. In loopback the modem control outputs are its inputs.
std::uint8_t Serial::modem_lines() const {
  if (!looped()) return kMsrCts | kMsrDsr | kMsrDcd;
  const std::uint8_t control = registers_.modem_control;
  std::uint8_t lines = 0;
  if ((control & kMcrRts) != 0) lines |= kMsrCts;
  if ((control & kMcrDtr) != 0) lines |= kMsrDsr;
  if ((control & kMcrOut1) != 0) lines |= kMsrRi;
  if ((control & kMcrOut2) != 0) lines |= kMsrDcd;
  return lines;
}

/// The cause of the highest priority, without the FIFO bits.
std::uint8_t Serial::interrupt_cause() const {
  const std::uint8_t enabled = registers_.interrupt_enable;
  if ((enabled & kIerLineStatus) != 0 && registers_.overrun) return kIirLineStatus;
  if ((enabled & kIerReceived) != 0 && !fifo_.empty()) {
    // Below the trigger level real hardware waits for four characters' time; here no time passes
    // between bytes, so what has come so far has timed out.
    return fifo_enabled() && fifo_.size() < trigger_level() ? kIirTimeout : kIirReceived;
  }
  if ((enabled & kIerHoldingEmpty) != 0 && registers_.holding_empty) return kIirHoldingEmpty;
  if ((enabled & kIerModemStatus) != 0 && registers_.modem_changes != 0) return kIirModemStatus;
  return kIirNone;
}

void Serial::let_input_arrive() {
  if (looped()) return;
  const std::size_t capacity = fifo_enabled() ? SerialState::kFifoBytes : 1;
  while (fifo_.size() < capacity && !input_.empty()) {
    fifo_.push(input_.front().front());
    input_.pop(1);
  }
}

void Serial::update_irq() {
  if ((registers_.interrupt_enable & kIerReceived) != 0) let_input_arrive();
  const bool high = interrupt_cause() != kIirNone;
  if (high == irq_high_) return;
  irq_high_ = high;
  irq_.set_level(high);
}

}  // namespace devices
