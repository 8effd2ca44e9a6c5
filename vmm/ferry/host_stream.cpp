#include "vmm/ferry/host_stream.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "vmm/ferry/exit_status.hpp"

namespace ferry {

namespace asio = boost::asio;

HostStream::HostStream(asio::io_context& context, int inherited, Direction direction)
    : context_(context), direction_(direction) {
  struct stat status {};
  if (::fstat(inherited, &status) != 0) {
    throw std::system_error(errno, std::system_category(), "fstat of standard input or output");
  }
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    // O_NONBLOCK belongs to the open file, which the shell and its other children share: opened
    // anew, the pipe or terminal can be non-blocking for this process alone.
    const int access = direction == Direction::in ? O_RDONLY : O_WRONLY;
    const std::string path = fmt::format("/proc/self/fd/{}", inherited);
    fd_ = vmm::UniqueFd(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  }
  if (fd_.get() < 0) {
    fd_ = vmm::UniqueFd(::fcntl(inherited, F_DUPFD_CLOEXEC, 3));
    if (fd_.get() < 0) throw std::system_error(errno, std::system_category(), "fcntl(F_DUPFD)");
    if (!S_ISREG(status.st_mode)) {
      // A socket, or another user's terminal: it has to be shared, and is put back at the end.
      const int flags = ::fcntl(fd_.get(), F_GETFL);
      if ((flags & O_NONBLOCK) == 0 && ::fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK) == 0) {
        restore_flags_ = flags;
      }
    }
  }
  if (!S_ISREG(status.st_mode)) watch();
}

HostStream::HostStream(asio::io_context& context, const std::string& path)
    : context_(context),
      direction_(Direction::out),
      fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                 0600)) {
  if (fd_.get() < 0) {
    const std::string what = fmt::format("cannot open {} for the serial port", path);
    if (errno == ENOENT) {
      throw Failure(ExitStatus::no_input, what + ": there is no such folder");
    }
    throw std::system_error(errno, std::system_category(), what);
  }
  struct stat status {};
  if (::fstat(fd_.get(), &status) == 0 && !S_ISREG(status.st_mode)) watch();
}

HostStream::~HostStream() {
  if (watched_) watched_->release();
  if (restore_flags_ >= 0) ::fcntl(fd_.get(), F_SETFL, restore_flags_);
}

void HostStream::watch() {
  watched_.emplace(context_);
  boost::system::error_code error;
  watched_->assign(fd_.get(), error);
  if (error) watched_.reset();
}

HostStream::Result HostStream::failed() {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {State::would_block, 0};
  // EIO: a terminal that hung up, or whose foreground process we are not. EPIPE: no reader.
  if (errno != EIO && errno != EPIPE) error_ = std::strerror(errno);
  return {State::ended, 0};
}

HostStream::Result HostStream::read(std::span<std::byte> into) {
  const ssize_t count = ::read(fd_.get(), into.data(), into.size());
  if (count < 0) return failed();
  return {count == 0 ? State::ended : State::ready, static_cast<std::size_t>(count)};
}

HostStream::Result HostStream::write(std::span<const std::byte> from) {
  const ssize_t count = ::write(fd_.get(), from.data(), from.size());
  if (count < 0) return failed();
  return {State::ready, static_cast<std::size_t>(count)};
}

void HostStream::wait(std::function<void()> ready) {
  if (!watched_) {
    asio::post(context_, std::move(ready));
    return;
  }
  const auto kind = direction_ == Direction::in ? asio::posix::stream_descriptor::wait_read
                                                : asio::posix::stream_descriptor::wait_write;
  watched_->async_wait(kind, [ready = std::move(ready)](boost::system::error_code error) {
    // Not supported: a device such as /dev/null, which never blocks.
    if (!error || error == asio::error::operation_not_supported) ready();
  });
}

void HostStream::cancel() {
  boost::system::error_code ignored;
  if (watched_) watched_->cancel(ignored);
}

}  // namespace ferry
