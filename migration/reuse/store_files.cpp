#include "migration/reuse/store_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace migration::store {

namespace {

constexpr std::chrono::milliseconds kLockPoll{5};

using Clock = std::chrono::steady_clock;
thread_local Clock::time_point lock_deadline = Clock::time_point::max();

constexpr const char* kSome = "a file of the image store";

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct stat status_of(int file, const std::string& name) {
  struct stat status {};
  if (::fstat(file, &status) < 0) fail(name);
  return status;
}

}  // namespace

std::string used_name(std::string_view vm_id) {
  std::uint32_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) fail("getrandom");
  return fmt::format("{}.{:08x}{}", vm_id, number, kUsed);
}

LockDeadline::LockDeadline(std::chrono::milliseconds limit)
    : outer_(std::exchange(lock_deadline, std::min(lock_deadline, Clock::now() + limit))) {}

LockDeadline::~LockDeadline() { lock_deadline = outer_; }

Directory::Directory(const std::filesystem::path& path, std::string what, int flags)
    : path_(path), what_(std::move(what)) {
  const std::string text = path.string();
  if (path.has_parent_path()) {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) {
      throw std::system_error(error, fmt::format("cannot make {}, for {} {}",
                                                 path.parent_path().string(), what_, text));
    }
  }
  const int refused = ::mkdir(text.c_str(), 0700) < 0 ? errno : 0;
  if (refused != 0 && refused != EEXIST && refused != EROFS) {
    fail(fmt::format("cannot make {} {}", what_, text));
  }
  fd_ = vmm::UniqueFd(::open(text.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
  if (fd_.get() < 0 && errno == ENOENT && refused == EROFS) {
    errno = refused;  // it is not there since it could not be made
    fail(fmt::format("cannot make {} {}", what_, text));
  }
  if (fd_.get() < 0) fail(fmt::format("cannot open {} {}", what_, text));
  const struct stat status = status_of(fd_.get(), text);
  if (status.st_uid != ::geteuid()) {
    throw std::runtime_error(
        fmt::format("{} {} belongs to another user (uid {}): choose a directory of your own", what_,
                    text, status.st_uid));
  }
  if ((status.st_mode & 077) != 0) {
    throw std::runtime_error(fmt::format(
        "{} {} is open to other users, and private: 'chmod 700 {}'", what_, text, text));
  }
}

bool Directory::is_tmpfs() const {
  struct statfs status {};
  if (::fstatfs(fd(), &status) < 0) fail(path_.string());
  return status.f_type == TMPFS_MAGIC;
}

std::uint64_t Directory::available() const {
  struct statfs status {};
  if (::fstatfs(fd(), &status) < 0) fail(path_.string());
  // A tmpfs that was mounted without a limit has no blocks, and room for all.
  if (status.f_blocks == 0) return ~std::uint64_t{0};
  return std::uint64_t{status.f_bavail} * static_cast<std::uint64_t>(status.f_bsize);
}

std::string Directory::path_of(std::string_view name) const { return (path_ / name).string(); }

std::vector<std::string> Directory::names() const {
  // By the descriptor: the directory may have been renamed.
  std::vector<std::string> names;
  const std::filesystem::path self = fmt::format("/proc/self/fd/{}", fd());
  for (const auto& entry : std::filesystem::directory_iterator(self)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

vmm::UniqueFd Directory::lock(std::chrono::milliseconds patience) const {
  vmm::UniqueFd file(::openat(fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() < 0) fail(path_.string());
  const auto deadline = std::min(Clock::now() + patience, lock_deadline);
  // flock knows no time limit, and tells nobody when it is free: hence looking again.
  while (::flock(file.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail("flock of " + path_.string());
    if (Clock::now() >= deadline) {
      throw std::runtime_error(
          fmt::format("{} {} is locked by another process ('lsof {}' shows it)", what_,
                      path_.string(), path_.string()));
    }
    std::this_thread::sleep_for(kLockPoll);
  }
  return file;
}

vmm::UniqueFd Directory::make_unnamed() const {
  vmm::UniqueFd file(::openat(fd(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.get() < 0) {
    fail(fmt::format("cannot make a file in the image store {}{}", path_.string(),
                     errno == EOPNOTSUPP ? " (its file system has no O_TMPFILE)" : ""));
  }
  if (::fchmod(file.get(), 0600) < 0) fail("fchmod in " + path_.string());  // whatever umask says
  return file;
}

vmm::UniqueFd Directory::make(const std::string& name) const {
  remove(name);
  vmm::UniqueFd file(
      ::openat(fd(), name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0 || ::fchmod(file.get(), 0600) < 0) fail("cannot make " + path_of(name));
  return file;
}

bool Directory::try_link(int file, const std::string& name) const {
  const std::string self = fmt::format("/proc/self/fd/{}", file);
  return ::linkat(AT_FDCWD, self.c_str(), fd(), name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

void Directory::link(int file, const std::string& name) const {
  if (!try_link(file, name)) fail("cannot make " + path_of(name));
}

std::optional<vmm::UniqueFd> Directory::open(const std::string& name) const {
  // O_NONBLOCK: what is no regular file must not make anybody wait.
  vmm::UniqueFd file(
      ::openat(fd(), name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0 && errno == EROFS) {
    file = vmm::UniqueFd(
        ::openat(fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  }
  if (file.get() < 0 && errno == ENOENT) return std::nullopt;
  if (file.get() < 0) fail(path_of(name));
  const struct stat status = status_of(file.get(), path_of(name));
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path_of(name) + " is no regular file");
  if (status.st_uid != ::geteuid()) {
    throw std::runtime_error(
        fmt::format("{} belongs to another user (uid {})", path_of(name), status.st_uid));
  }
  if ((status.st_mode & 07777) != 0600 || status.st_nlink != 1) {
    throw std::runtime_error(fmt::format("{} has mode {:o} and {} names, not 600 and one",
                                         path_of(name), status.st_mode & 07777, status.st_nlink));
  }
  return file;
}

std::uint64_t Directory::allocated(const std::string& name) const {
  struct stat status {};
  if (::fstatat(fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return 0;
    fail(path_of(name));
  }
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

bool Directory::remove(const std::string& name) const {
  if (::unlinkat(fd(), name.c_str(), 0) == 0) return true;
  if (errno != ENOENT) fail("cannot remove " + path_of(name));
  return false;
}

void Directory::rename(const std::string& from, const std::string& to) const {
  if (::renameat(fd(), from.c_str(), fd(), to.c_str()) < 0) fail("cannot rename " + path_of(from));
}

void Directory::sync() const {
  if (::fsync(fd()) < 0) fail("fsync of " + path_.string());
}

FileId id_of(int file) {
  const struct stat status = status_of(file, kSome);
  return {status.st_dev, status.st_ino};
}

std::uint64_t names_of(int file) { return status_of(file, kSome).st_nlink; }

std::uint64_t size_of(int file) {
  return static_cast<std::uint64_t>(status_of(file, kSome).st_size);
}

std::uint64_t allocated(int file) {
  return static_cast<std::uint64_t>(status_of(file, kSome).st_blocks) * 512;
}

void resize(int file, std::uint64_t bytes) {
  if (::ftruncate(file, static_cast<off_t>(bytes)) < 0) fail("ftruncate in the image store");
}

void write_at(int file, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("writing to the image store");
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

void read_at(int file, std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("reading from the image store");
    if (got == 0) throw std::runtime_error("a file ended while it was read");
    into = into.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

wire::Bytes read_all(int file, std::uint64_t most) {
  const std::uint64_t size = size_of(file);
  if (size > most) {
    throw std::runtime_error(fmt::format("a file of {} bytes is too large", size));
  }
  wire::Bytes bytes(size);
  read_at(file, 0, bytes);
  return bytes;
}

void sync_data(int file) {
  if (::fsync(file) < 0) fail("fsync in the image store");
}

void add_data(int file, vmm::PageRange range, vmm::PageSet& into) {
  auto from = static_cast<off_t>(range.first * vmm::kPageSize);
  const auto end = static_cast<off_t>(range.end() * vmm::kPageSize);
  while (from < end) {
    const off_t data = ::lseek(file, from, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;
    if (data < 0) fail("SEEK_DATA in the image store");
    if (data >= end) return;
    const off_t hole = ::lseek(file, data, SEEK_HOLE);
    if (hole < 0) fail("SEEK_HOLE in the image store");  // somebody cut the file short meanwhile
    from = std::min(end, hole);
    const auto first = static_cast<vmm::PageIndex>(data) / vmm::kPageSize;
    into.set(vmm::PageRange{
        first, (static_cast<vmm::PageIndex>(from) + vmm::kPageSize - 1) / vmm::kPageSize - first});
  }
}

void punch(int file, const vmm::PageSet& pages) {
  for (const vmm::PageRange& range : pages.ranges()) {
    if (::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(range.first * vmm::kPageSize),
                    static_cast<off_t>(range.count * vmm::kPageSize)) < 0) {
      fail("fallocate of a hole in the image store");
    }
  }
}

}  // namespace migration::store
