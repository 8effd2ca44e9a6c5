#include "guest/workload/disk.hpp"

#include "guest/cpu/freestanding.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kBlockDevice = 0x1042;
constexpr std::uint64_t kReadOnly = 1 << 5;
constexpr std::uint64_t kFlush = 1 << 9;

constexpr std::uint32_t kBlock = 4096;
constexpr std::uint32_t kSectorsPerBlock = kBlock / 512;
constexpr std::uint8_t kDone = 0;
constexpr std::uint8_t kUnanswered = 0xff;
constexpr std::uint64_t kWritesPerFlush = 256;
constexpr std::uint64_t kFirstBlocks = 64;

}  // namespace

/// What a request begins and ends with.
struct Disk::Header {
  static constexpr std::uint32_t kSentBytes = 16;

  Kind kind;
  std::uint32_t reserved;
  std::uint64_t sector;
  volatile std::uint8_t status;
};

Disk::Disk(const Options& options, Processor& cpu, MemoryMap& memory)
    : device_(kBlockDevice, kReadOnly | kFlush, {.slots = kDepth}, "disk", ExitCode::disk_error,
              cpu, memory),
      blocks_(options.disk_blocks),
      flush_due_((device_.features() & kFlush) != 0 ? kWritesPerFlush : ~std::uint64_t{0}) {
  const std::uint64_t sectors = device_.config(0) | std::uint64_t{device_.config(4)} << 32;
  if ((device_.features() & kReadOnly) != 0) {
    fail(ExitCode::bad_options, Line() << "option disk: it is read-only");
  }
  if (sectors / kSectorsPerBlock < blocks_) {
    fail(ExitCode::bad_options, Line() << "option disk=" << blocks_ << " exceeds its "
                                       << sectors / kSectorsPerBlock << " blocks");
  }
  const std::uint64_t table = memory.take(blocks_ * sizeof(std::uint32_t));
  buffers_ = memory.take((kDepth + 1) * kBlock);
  if (table == 0 || buffers_ == 0) {
    fail(ExitCode::bad_options, Line() << "option disk=" << blocks_ << " needs more memory");
  }
  generations_ = reinterpret_cast<std::uint32_t*>(table);
  memset(generations_, 0, blocks_ * sizeof(std::uint32_t));
}

std::uint64_t Disk::data(std::uint32_t slot) const { return buffers_ + slot * kBlock; }

Disk::Header& Disk::header(std::uint32_t slot) const {
  return reinterpret_cast<Header*>(data(kDepth))[slot];
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
  const Request& request = requests_[answer.slot];
  if (const std::uint8_t status = header(answer.slot).status; status != kDone) {
    fail(ExitCode::disk_error, Line() << "disk status=" << std::uint64_t{status}
                                      << " kind=" << static_cast<std::uint64_t>(request.kind)
                                      << " block=" << request.block);
  }
  const std::uint32_t written = request.kind == Kind::read ? kBlock + 1 : 1;
  if (answer.bytes != written) device_.fail_with("tells a wrong length");
  if (request.kind == Kind::write) {
    ++generations_[request.block];
    ++writes_;
  } else if (request.kind == Kind::read) {
    const PageVerdict verdict = verify_page_as(request.block * kBlock, data(answer.slot),
                                               PageKind::random, generations_[request.block]);
    if (verdict.fault != PageFault::none) report(request.block, verdict);
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
    const Request& other = requests_[slot];
    if (device_.busy(slot) && other.kind != Kind::flush && other.block == block) return true;
  }
  return false;
}

void Disk::post(std::uint32_t slot, Request request) {
  requests_[slot] = request;
  Header& head = header(slot);
  head.kind = request.kind;
  head.reserved = 0;
  head.sector = request.block * kSectorsPerBlock;
  head.status = kUnanswered;
  const bool read = request.kind == Kind::read;
  if (read) memset(reinterpret_cast<void*>(data(slot)), 0, kBlock);
  if (request.kind == Kind::write) {
    fill_page_as(request.block * kBlock, data(slot), PageKind::random,
                 generations_[request.block] + 1);
  }
  const auto address = reinterpret_cast<std::uint64_t>(&head);
  const VirtioPiece first{address, Header::kSentBytes, false};
  const VirtioPiece last{address + Header::kSentBytes, 1, true};
  if (request.kind == Kind::flush) {
    device_.post(slot, {first, last});
  } else {
    device_.post(slot, {first, {data(slot), kBlock, read}, last});
  }
}

}  // namespace guest
