#include "ferry/host_stream.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include "ferry/exit_status.hpp"

namespace ferry {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

/// /dev/ptmx: whoever opens it gets another terminal.
bool pty_master(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(5, 2);
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::system_category(), what);
}

[[noreturn]] void fail_to_open(const std::string& path) {
  const std::error_code error(errno, std::system_category());
  const std::string what = fmt::format("cannot open {} for the serial port", path);
  if (error.value() == ENOENT) {
    throw Failure(ExitStatus::no_input, what + ": there is no such folder");
  }
  if (error.value() == ENXIO) {
    throw Failure(ExitStatus::unavailable,
                  what + ": nobody reads that pipe, or it is a socket or no device that is there");
  }
  if (wrong_path(error)) {
    throw Failure(ExitStatus::no_input, fmt::format("{}: {}", what, error.message()));
  }
  throw std::system_error(error, what);
}

}  // namespace

HostStream::HostStream(asio::io_context& context, int inherited, Direction direction)
    : context_(context), direction_(direction), at_most_(kAnyNumber) {
  struct stat status {};
  if (::fstat(inherited, &status) != 0) fail("fstat of standard input or output");
  open_anew(inherited, status);
  if (!S_ISREG(status.st_mode)) watch();
}

/// O_NONBLOCK belongs to the open file, which the shell and its other children share: opened anew,
/// a pipe or terminal can be non-blocking for this process alone. That is not possible for a
/// socket, a terminal's other end, nor for what belongs to another user.
void HostStream::open_anew(int inherited, const struct stat& status) {
  const unsigned mode = status.st_mode;
  if (S_ISFIFO(mode) || S_ISCHR(mode)) {
    const int access = direction_ == Direction::in ? O_RDONLY : O_WRONLY;
    const std::string path = fmt::format("/proc/self/fd/{}", inherited);
    if (!pty_master(status)) {
      fd_ = vmm::UniqueFd(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    }
    if (fd_.get() >= 0) return;
    way_ = Way::shared;
    // What a pipe that takes anything takes at once, and a terminal.
    if (direction_ == Direction::out) at_most_ = S_ISFIFO(mode) ? PIPE_BUF : 1;
  } else if (S_ISSOCK(mode)) {
    way_ = Way::socket;
  }
  fd_ = vmm::UniqueFd(::fcntl(inherited, F_DUPFD_CLOEXEC, 3));
  if (fd_.get() < 0) fail("fcntl(F_DUPFD)");
}

HostStream::HostStream(asio::io_context& context, const std::string& path)
    : context_(context),
      direction_(Direction::out),
      at_most_(kAnyNumber),
      fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                 0600)) {
  if (fd_.get() < 0) fail_to_open(path);
  struct stat status {};
  if (::fstat(fd_.get(), &status) == 0 && !S_ISREG(status.st_mode)) watch();
}

void HostStream::watch() {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1");
  watched_.emplace(context_, epoll);
  epoll_event event{};
  event.events = direction_ == Direction::in ? EPOLLIN : EPOLLOUT;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd_.get(), &event) < 0) watched_.reset();
}

bool HostStream::ready_now() const {
  const auto wanted = static_cast<short>(direction_ == Direction::in ? POLLIN : POLLOUT);
  pollfd ready{fd_.get(), wanted, 0};
  return ::poll(&ready, 1, 0) > 0;
}

HostStream::Result HostStream::failed() {
  error_ = std::strerror(errno);
  switch (errno) {
    case EAGAIN:
    case EINTR: return {State::would_block, 0};
    case EPIPE:  // no reader
    case ECONNRESET: return {State::ended, 0};
    case EIO:  // a terminal that hung up, or whose foreground process we are not
      if (::isatty(fd_.get()) == 1) return {State::ended, 0};
      break;
    default: break;
  }
  return {direction_ == Direction::out ? State::failed : State::ended, 0};
}

HostStream::Result HostStream::read(std::span<std::byte> into) {
  if (way_ == Way::shared && !ready_now()) return {State::would_block, 0};
  const ssize_t count = way_ == Way::socket
                            ? ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT)
                            : ::read(fd_.get(), into.data(), into.size());
  if (count < 0) return failed();
  return {count == 0 ? State::ended : State::ready, static_cast<std::size_t>(count)};
}

HostStream::Result HostStream::write(std::span<const std::byte> from) {
  if (way_ == Way::shared && !ready_now()) return {State::would_block, 0};
  const std::size_t size = std::min(from.size(), at_most_);
  const ssize_t count = way_ == Way::socket
                            ? ::send(fd_.get(), from.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : ::write(fd_.get(), from.data(), size);
  if (count < 0) return failed();
  return {State::ready, static_cast<std::size_t>(count)};
}

void HostStream::wait(std::function<void()> ready) {
  if (!watched_) {
    asio::post(context_, std::move(ready));
    return;
  }
  watched_->async_wait(asio::posix::stream_descriptor::wait_read,
                       [ready = std::move(ready)](boost::system::error_code cancelled) {
                         if (!cancelled) ready();
                       });
}

void HostStream::cancel() {
  boost::system::error_code ignored;
  if (watched_) watched_->cancel(ignored);
}

}  // namespace ferry
