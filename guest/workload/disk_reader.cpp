#include "guest/workload/disk_reader.hpp"

#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kReportMs = 250;
constexpr std::uint32_t kKib = 1024;

}  // namespace

DiskReader::DiskReader(const Options& options, Processor& cpu, MemoryMap& memory)
    : depth_(static_cast<std::uint32_t>(options.disk_reads)),
      bytes_(static_cast<std::uint32_t>(options.disk_read_kib) * kKib),
      places_(options.disk_blocks * kDiskBlock / bytes_),
      device_(kBlockDevice, 0, {.slots = depth_}, "disk", ExitCode::disk_error, cpu, memory) {
  check_disk_size(device_, options.disk_blocks);
  buffers_ = memory.take(std::uint64_t{depth_} * bytes_ + depth_ * sizeof(BlockRequest));
  if (buffers_ == 0) fail(ExitCode::bad_options, Line() << "option disk-reads needs more memory");
}

BlockRequest& DiskReader::request(std::uint32_t slot) const {
  return reinterpret_cast<BlockRequest*>(buffers_ + std::uint64_t{depth_} * bytes_)[slot];
}

std::uint64_t DiskReader::step(std::uint64_t now) {
  device_.look(now);
  for (VirtioAnswer answer; device_.take(answer);) finish(answer);
  for (std::uint32_t slot = 0; slot < depth_; ++slot) {
    if (!device_.busy(slot)) begin(slot);
  }
  device_.notify();
  if (now >= report_due_) report(now);
  return device_.next_look(now);
}

void DiskReader::finish(const VirtioAnswer& answer) {
  request(answer.slot).check_done();
  if (answer.bytes != bytes_ + 1) device_.fail_with("tells a wrong length");
  ++reads_;
}

void DiskReader::begin(std::uint32_t slot) {
  request(slot).post(device_, slot, BlockRequest::Kind::read, random_.below(places_) * bytes_,
                     {buffers_ + std::uint64_t{slot} * bytes_, bytes_, true});
}

/// The first line tells when it began.
void DiskReader::report(std::uint64_t now) {
  print(Line() << "disk reads=" << reads_ << " time_us=" << to_microseconds(now - start_tsc()));
  report_due_ = now + milliseconds(kReportMs);
}

}  // namespace guest
