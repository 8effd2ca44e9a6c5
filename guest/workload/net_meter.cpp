#include "guest/workload/net_meter.hpp"

#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kReportMs = 250;
constexpr std::uint32_t kSlots = 32;

}  // namespace

NetMeter::NetMeter(const Options& options, Processor& cpu, MemoryMap& memory)
    : sends_(options.frame_bytes != 0),
      bytes_(static_cast<std::uint32_t>(options.frame_bytes)),
      device_(kSlots, cpu, memory) {}

std::uint64_t NetMeter::step(std::uint64_t now) {
  device_.look(now);
  device_.receive([this](const NetFrame&, std::uint32_t) { ++came_; });
  sent_ += device_.take_sent();
  if (sends_) {
    while (NetFrame* out = device_.begin(begun_)) send(out, bytes_);
  } else if (came_ / kCredit > begun_) {
    if (NetFrame* out = device_.begin(came_)) send(out, NetFrame::kLeast);
  }
  device_.notify_sent();
  if (now >= report_due_) report(now);
  return device_.next_look(now);
}

void NetMeter::send(const NetFrame* frame, std::uint32_t bytes) {
  device_.send(frame, bytes);
  ++begun_;
}

/// The first line tells when it began.
void NetMeter::report(std::uint64_t now) {
  print(Line() << "net sent=" << sent_ << " came=" << came_
               << " time_us=" << to_microseconds(now - start_tsc()));
  report_due_ = now + milliseconds(kReportMs);
}

}  // namespace guest
