#include "guest/workload/entropy.hpp"

#include "guest/cpu/freestanding.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kEntropyDevice = 0x1044;
constexpr std::uint64_t kPeriodMs = 10;
// Fewer may well be equal by chance.
constexpr std::uint32_t kLeastCompared = 8;

}  // namespace

Entropy::Entropy(Processor& cpu, MemoryMap& memory)
    : device_(kEntropyDevice, 0, {}, "rng", ExitCode::entropy_error, cpu, memory),
      buffer_(memory.take(kAnswerBytes)) {
  if (buffer_ == 0) fail(ExitCode::bad_options, Line() << "option rng needs more memory");
}

std::uint64_t Entropy::step(std::uint64_t now) {
  device_.look(now);
  if (VirtioAnswer answer; device_.take(answer)) finish(answer.bytes);
  if (device_.busy(0)) return device_.next_look(now);
  if (now < due_) return due_;
  due_ = now + milliseconds(kPeriodMs);
  memset(reinterpret_cast<void*>(buffer_), 0, kAnswerBytes);
  device_.post(0, {{buffer_, kAnswerBytes, true}});
  device_.notify();
  return device_.next_look(now);
}

void Entropy::finish(std::uint32_t bytes) {
  if (bytes == 0 || bytes > kAnswerBytes) device_.fail_with("tells a wrong length");
  const auto* got = reinterpret_cast<const std::uint8_t*>(buffer_);
  const std::uint32_t both = bytes < last_bytes_ ? bytes : last_bytes_;
  bool equal = both >= kLeastCompared;
  for (std::uint32_t i = 0; i < both; ++i) equal = equal && got[i] == last_[i];
  if (equal) device_.fail_with("gives the same bytes twice");
  memcpy(last_, got, bytes);
  last_bytes_ = bytes;
  bytes_ += bytes;
}

}  // namespace guest
