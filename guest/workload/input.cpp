#include "guest/workload/input.hpp"

#include "guest/cpu/lapic.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint8_t kSerialPin = 4;
constexpr std::uint32_t kFnvBasis = 2166136261;
constexpr std::uint32_t kFnvPrime = 16777619;
// Each poll costs an exit to the VMM: often only while bytes come.
constexpr std::uint64_t kBusyPollMs = 1;
constexpr std::uint64_t kIdlePollMs = 20;
// Input may come faster than it is taken: what else the vCPU does shall go on all the same.
constexpr int kMostAtOnce = 16;

}  // namespace

Input::Input(const Options& options, Processor& cpu)
    : cpu_(cpu),
      wanted_(options.echo || options.end_on_byte || options.touch.wanted() ||
              options.change_pages != 0),
      interrupts_(options.receive_interrupts),
      echo_(options.echo),
      end_on_byte_(options.end_on_byte),
      touch_(options.touch.wanted()),
      change_(options.change_pages != 0),
      hash_(kFnvBasis) {
  if (!wanted_) return;
  if (interrupts_) ioapic_route(kSerialPin, GUEST_VECTOR_SERIAL);
  console_receive(interrupts_);
}

std::uint64_t Input::step(std::uint64_t now) {
  if (!wanted_) return kNever;
  if (interrupts_) {
    // Noted before the receiver is emptied: a byte that comes later raises the line anew.
    const std::uint64_t seen = cpu_.serial_count;
    if (seen == interrupts_seen_ && !more_) return kNever;
    interrupts_seen_ = seen;
  } else if (now < due_) {
    return due_;
  }
  const int taken = take_some();
  more_ = taken == kMostAtOnce;
  if (interrupts_) return more_ ? now : kNever;
  due_ = more_ ? now : now + milliseconds(taken == 0 ? kIdlePollMs : kBusyPollMs);
  return due_;
}

int Input::take_some() {
  for (int taken = 0; taken < kMostAtOnce; ++taken) {
    const int byte = receive();
    if (byte < 0) return taken;
    take(static_cast<std::uint8_t>(byte));
  }
  return kMostAtOnce;
}

void Input::take(std::uint8_t byte) {
  ++count_;
  sum_ += byte;
  hash_ = (hash_ ^ byte) * kFnvPrime;
  if (end_on_byte_ && byte == 'q') end_requested_ = true;
  if (touch_ && byte == 't') touch_requested_ = true;
  if (touch_ && byte == 'r') report_requested_ = true;
  if (change_ && byte == 'c') change_requested_ = true;
  if (echo_ && byte == '\n') {
    Line line;
    line << "got " << count_ << " bytes sum=" << sum_ << " hash=";
    print(line.hex(hash_));
  }
}

}  // namespace guest
