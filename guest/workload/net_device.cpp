#include "guest/workload/net_device.hpp"

#include <cstddef>

#include "guest/cpu/freestanding.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kNetworkDevice = 0x1041;
constexpr std::uint64_t kMac = 1 << 5;
constexpr std::uint8_t kType[] = {0x88, 0xb5};

template <std::size_t size>
bool same(const std::uint8_t (&one)[size], const std::uint8_t (&other)[size]) {
  bool all = true;
  for (std::size_t i = 0; i < size; ++i) all = all && one[i] == other[i];
  return all;
}

}  // namespace

std::uint64_t NetFrame::number() const {
  std::uint64_t told = 0;
  memcpy(&told, number_bytes, sizeof(told));
  return told;
}

NetDevice::NetDevice(std::uint32_t slots, Processor& cpu, MemoryMap& memory)
    : slots_(slots),
      device_(kNetworkDevice, kMac, {.slots = slots, .count = 2, .first_may_be_silent = true},
              "net", ExitCode::net_error, cpu, memory),
      buffers_(memory.take(2 * std::uint64_t{slots} * NetFrame::kBuffer)) {
  if ((device_.features() & kMac) == 0) {
    fail(ExitCode::bad_options, Line() << "option net: the device has no address");
  }
  if (buffers_ == 0) fail(ExitCode::bad_options, Line() << "option net needs more memory");
  const std::uint32_t words[] = {device_.config(0), device_.config(4)};
  memcpy(address_, words, sizeof(address_));
  for (std::uint32_t slot = 0; slot < slots_; ++slot) offer(slot);
  device_.notify(kReceive);
}

std::uint32_t NetDevice::take_sent() {
  std::uint32_t count = 0;
  for (VirtioAnswer answer; device_.take(answer, kSend); ++count) {
    if (answer.bytes != 0) device_.fail_with("tells a wrong length");
  }
  return count;
}

NetFrame* NetDevice::begin(std::uint64_t number) {
  for (std::uint32_t slot = 0; slot < slots_; ++slot) {
    if (device_.busy(slot, kSend)) continue;
    NetFrame& out = frame(kSend, slot);
    memset(out.header, 0, sizeof(out.header));
    memset(out.to, 0xff, sizeof(out.to));
    memcpy(out.from, address_, sizeof(out.from));
    memcpy(out.type, kType, sizeof(out.type));
    memcpy(out.number_bytes, &number, sizeof(out.number_bytes));
    return &out;
  }
  return nullptr;
}

void NetDevice::send(const NetFrame* frame, std::uint32_t bytes) {
  const auto address = reinterpret_cast<std::uint64_t>(frame);
  const auto slot = static_cast<std::uint32_t>((address - buffers_) / NetFrame::kBuffer) - slots_;
  device_.post(slot,
               {{address, NetFrame::kHeader, false}, {address + NetFrame::kHeader, bytes, false}},
               kSend);
}

bool NetDevice::is_ours(const VirtioAnswer& answer) const {
  if (answer.bytes < NetFrame::kHeader || answer.bytes > NetFrame::kBuffer) {
    device_.fail_with("tells a wrong length");
  }
  const NetFrame& came = frame(kReceive, answer.slot);
  return answer.bytes >= NetFrame::kHeader + NetFrame::kLeast && same(came.type, kType) &&
         same(came.to, address_);
}

void NetDevice::offer(std::uint32_t slot) {
  const auto address = reinterpret_cast<std::uint64_t>(&frame(kReceive, slot));
  device_.post(slot, {{address, NetFrame::kBuffer, true}}, kReceive);
}

NetFrame& NetDevice::frame(std::uint32_t queue, std::uint32_t slot) const {
  return reinterpret_cast<NetFrame*>(buffers_)[queue * slots_ + slot];
}

}  // namespace guest
