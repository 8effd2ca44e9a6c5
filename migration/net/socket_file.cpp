#include "migration/net/socket_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <thread>

#include "migration/net/address_error.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration::net {

namespace {

using boost::system::error_code;

/// The lock is held for as long as it takes to make a socket.
constexpr std::chrono::seconds kLockPatience{2};
constexpr std::chrono::milliseconds kLockPause{2};

[[noreturn]] void fail(const Address& address, int error, std::string_view why) {
  throw AddressError(error, fmt::format("cannot listen on {}: {}", to_string(address), why));
}
[[noreturn]] void fail(const Address& address, int error) {
  fail(address, error, std::generic_category().message(error));
}

/// Held by the one process that looks at a path and then makes its socket there. A file beside it,
/// which goes with the lock.
class PathLock {
 public:
  explicit PathLock(const Address& address) : name_(address.path + ".ferry-lock") {
    const auto end = std::chrono::steady_clock::now() + kLockPatience;
    while (!take(address)) {
      if (std::chrono::steady_clock::now() > end) {
        fail(address, EADDRINUSE, "another process has been about to listen there for a while");
      }
      std::this_thread::sleep_for(kLockPause);
    }
  }
  ~PathLock() { ::unlink(name_.c_str()); }
  PathLock(const PathLock&) = delete;
  PathLock& operator=(const PathLock&) = delete;

 private:
  bool take(const Address& address) {
    fd_ = vmm::UniqueFd(
        ::open(name_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
    if (fd_.get() < 0) fail(address, errno);
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) fail(address, errno);
      return false;
    }
    // Whoever held it has removed the file, perhaps, that is locked now.
    struct stat mine {};
    struct stat there {};
    return ::fstat(fd_.get(), &mine) == 0 && ::lstat(name_.c_str(), &there) == 0 &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
  }

  const std::string name_;
  vmm::UniqueFd fd_;
};

/// Removes what a dead process has left; fails when anything else is there.
void make_room(const Address& address) {
  struct stat status {};
  if (::lstat(address.path.c_str(), &status) != 0) return;  // bind() knows
  if (S_ISDIR(status.st_mode))
    fail(address, EADDRINUSE, "a directory is there: choose another path");
  if (!S_ISSOCK(status.st_mode)) {
    fail(address, EADDRINUSE,
         "a file is there that is no socket, and is left alone: choose another path");
  }
  asio::io_context context;
  Socket probe(context);
  error_code error;
  const asio::local::stream_protocol::endpoint there(address.path);
  probe.open(there.protocol(), error);
  if (!error) probe.native_non_blocking(true, error);  // its queue may be full
  if (error) fail(address, error.value());
  if (::connect(probe.native_handle(), there.data(), static_cast<socklen_t>(there.size())) != 0) {
    switch (errno) {
      case ENOENT: return;  // it has just gone
      case EACCES: fail(address, EACCES, "another user's socket is there");
      case EPROTOTYPE: fail(address, EADDRINUSE, "a socket of another type is in use there");
      case ECONNREFUSED:
        if (::unlink(address.path.c_str()) == 0 || errno == ENOENT) return;
        fail(address, errno,
             fmt::format("the socket of a process that has ended is there and cannot be removed: "
                         "{}",
                         std::generic_category().message(errno)));
      default: break;
    }
  }
  fail(address, EADDRINUSE, "the address is in use: another process listens there");
}

}  // namespace

SocketFile::SocketFile(Acceptor& acceptor, const Address& address) : path_(address.path) {
  const PathLock lock(address);
  make_room(address);
  // The file that bind() makes takes the socket's mode: it is never open to others.
  if (::fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR) != 0) fail(address, errno);
  error_code error;
  acceptor.bind(asio::local::stream_protocol::endpoint(path_), error);
  if (error) fail(address, error.value());
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  struct stat status {};
  if (!error && ::lstat(path_.c_str(), &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
    return;
  }
  const int code = error ? error.value() : errno;
  ::unlink(path_.c_str());
  fail(address, code);
}

SocketFile::~SocketFile() {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace migration::net
