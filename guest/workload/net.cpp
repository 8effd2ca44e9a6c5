#include "guest/workload/net.hpp"

#include <cstddef>

#include "guest/cpu/freestanding.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kNetworkDevice = 0x1041;
constexpr std::uint64_t kMac = 1 << 5;

constexpr std::uint32_t kHeader = 12;
constexpr std::uint32_t kLeast = 60;
constexpr std::uint32_t kMost = 1514;
constexpr std::uint8_t kType[] = {0x88, 0xb5};  // for experiments

/// The lengths of frames differ, and all are met.
std::uint32_t length_of(std::uint64_t number) {
  return kLeast + static_cast<std::uint32_t>(number * 577 % (kMost - kLeast + 1));
}

std::uint8_t content_of(std::uint64_t number, std::uint32_t at) {
  return static_cast<std::uint8_t>((number + 1) * (2 * at + 1) >> 1);
}

template <std::size_t size>
bool same(const std::uint8_t (&one)[size], const std::uint8_t (&other)[size]) {
  bool all = true;
  for (std::size_t i = 0; i < size; ++i) all = all && one[i] == other[i];
  return all;
}

}  // namespace

/// As it lies in a buffer.
struct Net::Frame {
  static constexpr std::uint32_t kBytes = 2048;

  std::uint8_t header[kHeader];
  std::uint8_t to[6];
  std::uint8_t from[6];
  std::uint8_t type[2];
  std::uint8_t number[8];
  std::uint8_t content[kBytes - kHeader - 22];
};

Net::Net(const Options& options, Processor& cpu, MemoryMap& memory)
    : device_(kNetworkDevice, kMac, {.slots = kSlots, .count = 2, .first_may_be_silent = true},
              "net", ExitCode::net_error, cpu, memory),
      period_(milliseconds(1000) / options.frames_per_second),
      buffers_(memory.take(2 * kSlots * Frame::kBytes)) {
  static_assert(sizeof(Frame) == Frame::kBytes);
  if ((device_.features() & kMac) == 0) {
    fail(ExitCode::bad_options, Line() << "option net: the device has no address");
  }
  if (buffers_ == 0) fail(ExitCode::bad_options, Line() << "option net needs more memory");
  const std::uint32_t words[] = {device_.config(0), device_.config(4)};
  memcpy(address_, words, sizeof(address_));
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) offer(slot);
  device_.notify(kReceive);
}

Net::Frame& Net::frame(std::uint32_t queue, std::uint32_t slot) const {
  return reinterpret_cast<Frame*>(buffers_)[queue * kSlots + slot];
}

std::uint64_t Net::step(std::uint64_t now) {
  device_.look(now);
  for (VirtioAnswer answer; device_.take(answer, kReceive);) {
    check(frame(kReceive, answer.slot), answer.bytes);
    offer(answer.slot);
  }
  device_.notify(kReceive);
  for (VirtioAnswer answer; device_.take(answer, kSend);) {
    if (answer.bytes != 0) device_.fail_with("tells a wrong length");
  }
  const std::uint64_t look = device_.next_look(now);
  if (now < due_) return look < due_ ? look : due_;
  // What a stop of the machine swallowed is not made up for.
  due_ = now - due_ > period_ ? now + period_ : due_ + period_;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (device_.busy(slot, kSend)) continue;
    send(slot);
    break;
  }
  device_.notify(kSend);
  return look < due_ ? look : due_;
}

void Net::offer(std::uint32_t slot) {
  const auto address = reinterpret_cast<std::uint64_t>(&frame(kReceive, slot));
  device_.post(slot, {{address, Frame::kBytes, true}}, kReceive);
}

void Net::send(std::uint32_t slot) {
  Frame& out = frame(kSend, slot);
  const std::uint32_t bytes = length_of(sent_);
  memset(out.header, 0, sizeof(out.header));
  memset(out.to, 0xff, sizeof(out.to));
  memcpy(out.from, address_, sizeof(out.from));
  memcpy(out.type, kType, sizeof(out.type));
  memcpy(out.number, &sent_, sizeof(out.number));
  for (std::uint32_t i = 0; i < bytes - 22; ++i) out.content[i] = content_of(sent_, i);
  const auto address = reinterpret_cast<std::uint64_t>(&out);
  device_.post(slot, {{address, kHeader, false}, {address + kHeader, bytes, false}}, kSend);
  ++sent_;
}

void Net::check(const Frame& frame, std::uint32_t bytes) {
  if (bytes < kHeader || bytes > Frame::kBytes) device_.fail_with("tells a wrong length");
  // Others send here, too.
  if (bytes < kHeader + kLeast || !same(frame.type, kType) || !same(frame.to, address_)) {
    return;
  }
  std::uint64_t number = 0;
  memcpy(&number, frame.number, sizeof(number));
  Line line;
  line << "net frame " << number;
  if (number >= sent_) fail(ExitCode::net_error, line << " was never sent");
  if (number < next_) {
    fail(ExitCode::net_error, line << " came twice or late, after " << next_ - 1);
  }
  bool whole = bytes == kHeader + length_of(number);
  for (std::uint32_t i = 0; whole && i < length_of(number) - 22; ++i) {
    whole = frame.content[i] == content_of(number, i);
  }
  if (!whole) fail(ExitCode::net_error, line << " is not whole");
  ++came_;
  next_ = number + 1;
}

}  // namespace guest
