#include "devices/storage/file_storage.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "devices/storage/parts.hpp"

namespace devices::storage {

namespace {

/// Takes `count` transferred bytes off the front of `parts`.
std::span<iovec> advance(std::span<iovec> parts, std::size_t count) {
  while (!parts.empty() && count >= parts.front().iov_len) {
    count -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (count > 0) {
    parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + count;
    parts.front().iov_len -= count;
  }
  return parts;
}

int count_of(std::span<const iovec> parts) {
  return static_cast<int>(std::min<std::size_t>(parts.size(), IOV_MAX));
}

}  // namespace

FileStorage::FileStorage(FileOptions options)
    : name_(fmt::format("disk '{}'", options.path.string())),
      read_only_(options.read_only),
      id_(std::move(options.id)),
      file_(open(options.path)),
      size_(measure()),
      mark_(file_.get()),
      flushes_(name_, [this] { sync(); }) {
  if (id_.size() > kLongestId) {
    throw std::invalid_argument(
        fmt::format("{}: its id is longer than {} characters", name_, kLongestId));
  }
}

vmm::UniqueFd FileStorage::open(const std::filesystem::path& path) const {
  // A pipe, which is no disk, would wait for somebody at its other end.
  const int flags = (read_only_ ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
  vmm::UniqueFd file(::open(path.c_str(), flags));
  if (file.get() >= 0) return file;
  const bool refused = errno == EACCES || errno == EPERM || errno == EROFS;
  fail(refused && !read_only_ ? "cannot open to read and write (read-only, it needs less)"
                              : "cannot open");
}

std::uint64_t FileStorage::measure() const {
  struct stat status {};
  if (::fstat(file_.get(), &status) < 0) fail("cannot look at (fstat)");
  std::uint64_t size = 0;
  if (S_ISREG(status.st_mode)) {
    size = static_cast<std::uint64_t>(status.st_size);
  } else if (S_ISBLK(status.st_mode)) {
    if (::ioctl(file_.get(), BLKGETSIZE64, &size) < 0) fail("cannot measure (BLKGETSIZE64)");
  } else if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    fail("cannot open");
  } else {
    throw std::invalid_argument(name_ + " is neither a regular file nor a block device");
  }
  if (size == 0) {
    throw std::invalid_argument(name_ + " is empty: give it a size ('truncate --size 10G')");
  }
  if (size % kSectorSize != 0) {
    throw std::invalid_argument(
        fmt::format("{} has {} bytes, which is no multiple of {}: 'truncate --size %{}' adds those "
                    "that it lacks",
                    name_, size, kSectorSize, kSectorSize));
  }
  return size;
}

DiskIdentity FileStorage::identity() const {
  struct stat status {};
  if (::fstat(file_.get(), &status) < 0) fail("cannot look at (fstat)");
  const bool is_block = S_ISBLK(status.st_mode);
  const auto mark = mark_.read();
  return {.bytes = size_,
          .read_only = read_only_,
          .boot = boot_id(),
          .device = is_block ? status.st_rdev : status.st_dev,
          .inode = is_block ? 0 : status.st_ino,
          .mark = mark ? mark->disk : DiskIdentity::kNoMark};
}

void FileStorage::check_same(const DiskIdentity& other) {
  const DiskIdentity here = identity();
  if (here.bytes != other.bytes) {
    throw std::invalid_argument(
        fmt::format("{} has {} bytes here, and the guest's disk has {}: both hosts must see the "
                    "same disk",
                    name_, here.bytes, other.bytes));
  }
  of_other_kernel_ = here.boot != other.boot;
  if (!of_other_kernel_) {
    if (here.device != other.device || here.inode != other.inode) {
      throw std::invalid_argument(fmt::format(
          "{} is another file than the guest's disk: both sides must have the same", name_));
    }
  }
  tells_runs_ = !read_only_ && !of_other_kernel_ && here.mark != DiskIdentity::kNoMark;
  // On one host, too, a name of the image may have no mark, or another one.
  if (here.mark == other.mark) {
    if (!read_only_)
      mark_.try_writing();  // before the guest stands for it, or has written anything
    return;
  }
  const bool in_both = here.mark != DiskIdentity::kNoMark && other.mark != DiskIdentity::kNoMark;
  throw std::invalid_argument(fmt::format(
      "{} is not the guest's disk: its mark, '{}' beside it, is {}. Both sides must see the same "
      "disk, by the same name, and what is beside it",
      name_, mark_.path().empty() ? "IMAGE.ferry" : mark_.path().filename().string(),
      in_both ? "another" : "on one of the sides alone"));
}

void FileStorage::acquire() {
  if (acquired_) return;
  set_lock(static_cast<short>(read_only_ ? F_RDLCK : F_WRLCK));
  try {
    if (!read_only_) check_unwritten();
  } catch (...) {
    set_lock(F_UNLCK);
    throw;
  }
  acquired_ = true;
  if (of_other_kernel_) forget_cached();
}

/// Without a flush, which may take long, where prepare_release() was the last to have any.
void FileStorage::release() {
  if (!acquired_) return;
  if (flushes_.lost() || unflushed_.any()) flushes_.flush(FlushRounds::Asked::by_host);
  set_lock(F_UNLCK);
  acquired_ = false;
}

void FileStorage::prepare_release() {
  if (read_only_) return;
  mark_.note_runner();  // not yet, where it came from another kernel
  flushes_.flush(FlushRounds::Asked::by_host);
}

std::optional<bool> FileStorage::held_elsewhere() const {
  struct flock all {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  if (read_only_ || ::fcntl(file_.get(), F_OFD_GETLK, &all) != 0) return std::nullopt;
  return all.l_type != F_UNLCK;
}

void FileStorage::check_unwritten() {
  const auto writer = mark_.look_for_writer();
  if (!writer) return;
  throw std::runtime_error(
      fmt::format("{} has been written to by {} since this VM had it: the VM's memory is older "
                  "than its disk, and going on would damage what is on it. Start the VM anew "
                  "from the disk",
                  name_, *writer));
}

/// Locks of the open file, and not of the process: they end with it alone.
void FileStorage::set_lock(short type) const {
  struct flock all {};
  all.l_type = type;
  all.l_whence = SEEK_SET;
  if (::fcntl(file_.get(), F_OFD_SETLK, &all) == 0) return;
  if (errno == EAGAIN || errno == EACCES) {
    throw std::system_error(
        EBUSY, std::generic_category(),
        name_ + " is in use by another process" + (read_only_ ? ", which writes to it" : ""));
  }
  fail("cannot lock (F_OFD_SETLK)");
}

/// What this kernel has read before of a disk that another one has written to meanwhile.
void FileStorage::forget_cached() const {
  if (::ioctl(file_.get(), BLKFLSBUF, 0) == 0) return;
  static_cast<void>(::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED));
}

void FileStorage::read(std::uint64_t offset, std::span<iovec> parts) {
  transfer_all(offset, parts, "cannot read (preadv)", ::preadv);
}

bool FileStorage::try_read(std::uint64_t offset, std::span<const iovec> parts) {
  if (!tells_at_hand_.load(std::memory_order_relaxed)) return false;
  const ssize_t done =
      ::preadv2(file_.get(), parts.data(), count_of(parts), static_cast<off_t>(offset), RWF_NOWAIT);
  if (done < 0 && errno == EOPNOTSUPP) tells_at_hand_.store(false, std::memory_order_relaxed);
  return done >= 0 && static_cast<std::uint64_t>(done) == bytes_of(parts);
}

void FileStorage::write(std::uint64_t offset, std::span<iovec> parts) {
  mark_.claim();
  const Unflushed::Change change(unflushed_);
  transfer_all(offset, parts, "cannot write (pwritev)", ::pwritev);
}

template <typename Call>
void FileStorage::transfer_all(std::uint64_t offset, std::span<iovec> parts, const char* what,
                               Call call) {
  while (!parts.empty()) {
    const ssize_t done =
        call(file_.get(), parts.data(), count_of(parts), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(what);
    if (done == 0) {
      throw std::system_error(EIO, std::generic_category(),
                              fmt::format("{}: {} ends before its byte {}", what, name_, size_));
    }
    offset += static_cast<std::uint64_t>(done);
    parts = advance(parts, static_cast<std::size_t>(done));
  }
}

void FileStorage::sync() {
  unflushed_.flush([this] {
    while (::fdatasync(file_.get()) < 0) {
      if (errno != EINTR) fail("cannot flush (fdatasync)");
    }
  });
}

/// A hole reads as zeros, which also tells the guest nothing of what was there.
void FileStorage::discard(std::uint64_t offset, std::uint64_t length) {
  static_cast<void>(allocate(FALLOC_FL_PUNCH_HOLE, offset, length));
}

void FileStorage::write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) {
  if (may_unmap && allocate(FALLOC_FL_PUNCH_HOLE, offset, length)) return;
  if (allocate(FALLOC_FL_ZERO_RANGE, offset, length)) return;
  write_zeros(*this, offset, length);
}

/// False when the host has no such call for this file, or not for a range of these bounds: then
/// nothing is done.
bool FileStorage::allocate(int mode, std::uint64_t offset, std::uint64_t length) {
  mark_.claim();
  const Unflushed::Change change(unflushed_);
  while (::fallocate(file_.get(), mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                     static_cast<off_t>(length)) < 0) {
    if (errno == EOPNOTSUPP || errno == EINVAL) return false;
    if (errno != EINTR) fail("cannot make room or zeros (fallocate)");
  }
  return true;
}

void FileStorage::fail(const char* what) const {
  throw std::system_error(errno, std::generic_category(), fmt::format("{}: {}", name_, what));
}

}  // namespace devices::storage
