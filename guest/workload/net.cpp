#include "guest/workload/net.hpp"

#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

/// The lengths of frames differ, and all are met.
std::uint32_t length_of(std::uint64_t number) {
  constexpr std::uint32_t kLengths = NetFrame::kMost - NetFrame::kLeast + 1;
  return NetFrame::kLeast + static_cast<std::uint32_t>(number * 577 % kLengths);
}

std::uint8_t content_of(std::uint64_t number, std::uint32_t at) {
  return static_cast<std::uint8_t>((number + 1) * (2 * at + 1) >> 1);
}

}  // namespace

Net::Net(const Options& options, Processor& cpu, MemoryMap& memory)
    : device_(kSlots, cpu, memory), period_(milliseconds(1000) / options.frames_per_second) {}

std::uint64_t Net::step(std::uint64_t now) {
  device_.look(now);
  device_.receive([this](const NetFrame& frame, std::uint32_t bytes) { check(frame, bytes); });
  device_.take_sent();
  const std::uint64_t look = device_.next_look(now);
  if (now < due_) return look < due_ ? look : due_;
  // What a stop of the machine swallowed is not made up for.
  due_ = now - due_ > period_ ? now + period_ : due_ + period_;
  send();
  return look < due_ ? look : due_;
}

void Net::send() {
  NetFrame* out = device_.begin(sent_);
  if (out == nullptr) return;
  const std::uint32_t bytes = length_of(sent_);
  for (std::uint32_t i = 0; i < bytes - NetFrame::kNumbered; ++i) {
    out->content[i] = content_of(sent_, i);
  }
  device_.send(out, bytes);
  device_.notify_sent();
  ++sent_;
}

void Net::check(const NetFrame& frame, std::uint32_t bytes) {
  const std::uint64_t number = frame.number();
  Line line;
  line << "net frame " << number;
  if (number >= sent_) fail(ExitCode::net_error, line << " was never sent");
  if (number < next_) {
    fail(ExitCode::net_error, line << " came twice or late, after " << next_ - 1);
  }
  bool whole = bytes == length_of(number);
  for (std::uint32_t i = 0; whole && i < length_of(number) - NetFrame::kNumbered; ++i) {
    whole = frame.content[i] == content_of(number, i);
  }
  if (!whole) fail(ExitCode::net_error, line << " is not whole");
  ++came_;
  next_ = number + 1;
}

}  // namespace guest
