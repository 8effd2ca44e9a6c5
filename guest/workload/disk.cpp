#include "guest/workload/disk.hpp"

#include "guest/cpu/freestanding.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint64_t kReadOnly = 1 << 5;
constexpr std::uint64_t kFlush = 1 << 9;

constexpr std::uint64_t kWritesPerFlush = 256;
constexpr std::uint64_t kFirstBlocks = 64;

}  // namespace

Disk::Disk(const Options& options, Processor& cpu, MemoryMap& memory)
    : device_(kBlockDevice, kReadOnly | kFlush, {.slots = kDepth}, "disk", ExitCode::disk_error,
              cpu, memory),
      blocks_(options.disk_blocks),
      flush_due_((device_.features() & kFlush) != 0 ? kWritesPerFlush : ~std::uint64_t{0}) {
  if ((device_.features() & kReadOnly) != 0) {
    fail(ExitCode::bad_options, Line() << "option disk: it is read-only");
  }
  check_disk_size(device_, blocks_);
  const std::uint64_t table = memory.take(blocks_ * sizeof(std::uint32_t));
  buffers_ = memory.take((kDepth + 1) * kDiskBlock);
  if (table == 0 || buffers_ == 0) {
    fail(ExitCode::bad_options, Line() << "option disk=" << blocks_ << " needs more memory");
  }
  generations_ = reinterpret_cast<std::uint32_t*>(table);
  memset(generations_, 0, blocks_ * sizeof(std::uint32_t));
}

std::uint64_t Disk::data(std::uint32_t slot) const { return buffers_ + slot * kDiskBlock; }

BlockRequest& Disk::request(std::uint32_t slot) const {
  return reinterpret_cast<BlockRequest*>(data(kDepth))[slot];
}

std::uint64_t Disk::step(std::uint64_t now) {
  device_.look(now);
  for (VirtioAnswer answer; device_.take(answer);) finish(answer);
  for (std::uint32_t slot = 0; slot < kDepth; ++slot) {
    if (!device_.busy(slot)) begin(slot);
  }
  device_.notify();
  return device_.next_look(now);
}

void Disk::finish(const VirtioAnswer& answer) {
  const Wanted& wanted = wanted_[answer.slot];
  request(answer.slot).check_done();
  const std::uint32_t written = wanted.kind == Kind::read ? kDiskBlock + 1 : 1;
  if (answer.bytes != written) device_.fail_with("tells a wrong length");
  if (wanted.kind == Kind::write) {
    ++generations_[wanted.block];
    ++writes_;
  } else if (wanted.kind == Kind::read) {
    const PageVerdict verdict = verify_page_as(wanted.block * kDiskBlock, data(answer.slot),
                                               PageKind::random, generations_[wanted.block]);
    if (verdict.fault != PageFault::none) report(wanted.block, verdict);
    ++reads_;
  }
}

void Disk::report(std::uint64_t block, const PageVerdict& verdict) const {
  Line line;
  line << "disk block " << block << " " << name(verdict.fault) << " got=";
  line.hex(verdict.got) << " want=";
  line.hex(verdict.want) << " generation=" << std::uint64_t{generations_[block]};
  fail(ExitCode::disk_error, line);
}

void Disk::begin(std::uint32_t slot) {
  if (writes_ >= flush_due_) {
    flush_due_ = writes_ + kWritesPerFlush;
    post(slot, {Kind::flush, 0});
    return;
  }
  // The blocks come into use little by little, or a large disk would hardly ever be read.
  const std::uint64_t used = kFirstBlocks + 2 * writes_;
  const std::uint64_t block = random_.below(used < blocks_ ? used : blocks_);
  if (in_use(block)) return;
  const bool write = generations_[block] == 0 || random_.below(2) == 0;
  post(slot, {write ? Kind::write : Kind::read, block});
}

/// Whether a request is under way: of two at once, nobody says which is first.
bool Disk::in_use(std::uint64_t block) const {
  for (std::uint32_t slot = 0; slot < kDepth; ++slot) {
    const Wanted& other = wanted_[slot];
    if (device_.busy(slot) && other.kind != Kind::flush && other.block == block) return true;
  }
  return false;
}

void Disk::post(std::uint32_t slot, Wanted wanted) {
  wanted_[slot] = wanted;
  const std::uint64_t offset = wanted.block * kDiskBlock;
  if (wanted.kind == Kind::read) memset(reinterpret_cast<void*>(data(slot)), 0, kDiskBlock);
  if (wanted.kind == Kind::write) {
    fill_page_as(offset, data(slot), PageKind::random, generations_[wanted.block] + 1);
  }
  request(slot).post(device_, slot, wanted.kind, offset,
                     {data(slot), kDiskBlock, wanted.kind == Kind::read});
}

}  // namespace guest
