#include "devices/virtio/block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <limits>
#include <system_error>
#include <utility>

#include "vmm/bytes/byte_writer.hpp"

namespace devices::virtio {

namespace {

constexpr std::uint32_t kSectorSize = storage::kSectorSize;
/// Of a queue's entries the header and the status take one each.
constexpr std::uint32_t kMostDataSegments = 254;
/// Host file systems keep blocks of 4 KiB: less than one makes no hole.
constexpr std::uint32_t kDiscardAlignment = 4096 / kSectorSize;
constexpr std::uint32_t kRangesOfARequest = 1;
constexpr std::uint32_t kUnmap = 1;  ///< of a range's flags

struct Header {
  std::uint32_t type = 0;
  std::uint32_t reserved = 0;
  std::uint64_t sector = 0;
};
static_assert(sizeof(Header) == 16);

/// The data of requests that have no other.
struct Range {
  std::uint64_t sector = 0;
  std::uint32_t sectors = 0;
  std::uint32_t flags = 0;
};
static_assert(sizeof(Range) == 16);

std::uint64_t bytes_of(const std::vector<iovec>& parts) {
  std::uint64_t bytes = 0;
  for (const iovec& part : parts) bytes += part.iov_len;
  return bytes;
}

/// `length` bytes of the segments, from `first` on: all of them are there.
template <typename Byte>
std::vector<iovec> parts_of(const std::vector<std::span<Byte>>& segments, std::uint64_t first,
                            std::uint64_t length) {
  std::vector<iovec> parts;
  for (const auto& segment : segments) {
    const std::uint64_t skipped = std::min<std::uint64_t>(first, segment.size());
    const std::uint64_t taken = std::min<std::uint64_t>(length, segment.size() - skipped);
    first -= skipped;
    length -= taken;
    // Of what the device only reads, too: an iovec does not tell.
    if (taken > 0) parts.push_back({const_cast<std::byte*>(segment.data()) + skipped, taken});
  }
  return parts;
}

/// The parts have the value's size.
template <typename Value>
Value gather(const std::vector<iovec>& parts) {
  Value value;
  auto into = std::as_writable_bytes(std::span(&value, 1));
  for (const iovec& part : parts) {
    std::memcpy(into.data(), part.iov_base, part.iov_len);
    into = into.subspan(part.iov_len);
  }
  return value;
}

bool changes_disk(Block::RequestType type) {
  using enum Block::RequestType;
  return type == out || type == discard || type == write_zeroes;
}

}  // namespace

Block::Block(std::shared_ptr<storage::Storage> storage, Report report)
    : storage_(std::move(storage)),
      report_(std::move(report)),
      capacity_(storage_->size() / kSectorSize) {}

std::string Block::about() const {
  return fmt::format("{}, {} MiB{}{}", storage_->name(), storage_->size() >> 20,
                     storage_->read_only() ? ", read-only" : "", failing_ ? ", which fails" : "");
}

std::uint64_t Block::features() const {
  return kSegmentLimit | kBlockSize | kFlush |
         (storage_->read_only() ? kReadOnly : kDiscard | kWriteZeroes);
}

std::vector<std::byte> Block::config() const {
  std::vector<std::byte> config;
  vmm::ByteWriter out(config);
  out.u64(capacity_);
  out.u32(0);  // size_max
  out.u32(kMostDataSegments);
  out.u32(0);  // geometry
  out.u32(kSectorSize);
  out.u64(0);  // topology
  out.u32(0);  // writeback, num_queues
  out.u32(kMostDiscarded);
  out.u32(kRangesOfARequest);
  out.u32(kDiscardAlignment);
  out.u32(kMostZeroed);
  out.u32(kRangesOfARequest);
  out.u32(1);  // write_zeroes_may_unmap
  return config;
}

void Block::acquire() { take_or_give(&storage::Storage::acquire); }

void Block::release() { take_or_give(&storage::Storage::release); }

/// One at a time: who gave up a call that hangs, in another thread, does not hang in the next.
void Block::take_or_give(void (storage::Storage::*call)()) {
  if (taking_or_giving_.exchange(true)) {
    throw std::system_error(EBUSY, std::generic_category(),
                            storage_->name() + ": the host does not answer");
  }
  try {
    (*storage_.*call)();
  } catch (...) {
    taking_or_giving_ = false;
    throw;
  }
  taking_or_giving_ = false;
}

/// A driver that cannot flush takes a write that is complete for one that stays.
void Block::begin(std::uint64_t features) { write_through_ = (features & kFlush) == 0; }

void Block::serve(unsigned /*index*/, ServedQueue& queue) {
  while (auto request = queue.take()) {
    const std::uint64_t writable = bytes_of(request->writable);
    // There is no place to say what is wrong with it, or no number for what was written.
    if (bytes_of(request->readable) < sizeof(Header) || writable == 0 ||
        writable > std::numeric_limits<std::uint32_t>::max()) {
      queue.complete(*request, 0);
      continue;
    }
    Job job;
    job.request = std::move(*request);
    job.written = static_cast<std::uint32_t>(writable);
    job.status = &job.request.writable.back().back();
    if (const auto status = begin(job)) {
      finish(queue, job, *status);
      continue;
    }
    workers_.give([this, &queue, job = std::move(job)]() mutable {
      const Status status = perform(job);
      finish(queue, job, status);
    });
  }
}

void Block::finish(ServedQueue& queue, const Job& job, Status status) {
  *job.status = static_cast<std::byte>(status);
  // Its last byte was: all in front of it counts as written.
  queue.complete(job.request, job.written);
}

/// Its end, where the host need not be waited for.
std::optional<Block::Status> Block::begin(Job& job) {
  const auto header = gather<Header>(parts_of(job.request.readable, 0, sizeof(Header)));
  job.type = static_cast<RequestType>(header.type);
  if (changes_disk(job.type) && storage_->read_only()) return Status::io_error;
  const bool reads = job.type == RequestType::in || job.type == RequestType::get_id;
  job.data = reads ? parts_of(job.request.writable, 0, job.written - 1)
                   : parts_of(job.request.readable, sizeof(Header),
                              bytes_of(job.request.readable) - sizeof(Header));
  switch (job.type) {
    case RequestType::in:
    case RequestType::out: return begin_transfer(job, header.sector);
    case RequestType::flush: return std::nullopt;
    case RequestType::get_id: return tell_id(job);
    case RequestType::discard:
    case RequestType::write_zeroes: return begin_range(job);
  }
  return Status::unsupported;
}

std::optional<Block::Status> Block::begin_transfer(Job& job, std::uint64_t sector) {
  const std::uint64_t bytes = bytes_of(job.data);
  if (bytes > kMostData || bytes % kSectorSize != 0 || !reaches(sector, bytes / kSectorSize)) {
    return Status::io_error;
  }
  if (bytes == 0) return Status::ok;
  job.offset = sector * kSectorSize;
  if (job.type == RequestType::out || !storage_->try_read(job.offset, job.data)) {
    return std::nullopt;
  }
  failing_ = false;
  return Status::ok;
}

std::optional<Block::Status> Block::begin_range(Job& job) {
  if (bytes_of(job.data) != kRangesOfARequest * sizeof(Range)) return Status::io_error;
  const auto range = gather<Range>(job.data);
  const bool discards = job.type == RequestType::discard;
  if ((range.flags & ~(discards ? 0 : kUnmap)) != 0) return Status::unsupported;
  if (range.sectors > (discards ? kMostDiscarded : kMostZeroed) ||
      !reaches(range.sector, range.sectors)) {
    return Status::io_error;
  }
  if (range.sectors == 0) return Status::ok;
  job.offset = range.sector * kSectorSize;
  job.length = std::uint64_t{range.sectors} * kSectorSize;
  job.may_unmap = (range.flags & kUnmap) != 0;
  return std::nullopt;
}

/// Zeros follow it.
Block::Status Block::tell_id(const Job& job) const {
  std::array<char, storage::Storage::kLongestId> id{};
  storage_->id().copy(id.data(), id.size());
  std::span<const char> rest = id;
  for (const iovec& part : job.data) {
    const auto here = rest.first(std::min(rest.size(), part.iov_len));
    std::memcpy(part.iov_base, here.data(), here.size());
    rest = rest.subspan(here.size());
  }
  return Status::ok;
}

bool Block::reaches(std::uint64_t sector, std::uint64_t sectors) const {
  return sector <= capacity_ && sectors <= capacity_ - sector;
}

Block::Status Block::perform(Job& job) {
  try {
    ask_host(job);
    if (changes_disk(job.type) && write_through_) storage_->flush();
  } catch (const std::exception& error) {
    if (!failing_.exchange(true)) report_(error.what());
    return Status::io_error;
  }
  failing_ = false;
  return Status::ok;
}

void Block::ask_host(Job& job) {
  switch (job.type) {
    case RequestType::in: return storage_->read(job.offset, job.data);
    case RequestType::out: return storage_->write(job.offset, job.data);
    case RequestType::flush: return storage_->flush();
    case RequestType::discard: return storage_->discard(job.offset, job.length);
    case RequestType::write_zeroes:
      return storage_->write_zeroes(job.offset, job.length, job.may_unmap);
    case RequestType::get_id: return;
  }
}

}  // namespace devices::virtio
