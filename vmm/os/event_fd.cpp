#include "vmm/os/event_fd.hpp"

#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

namespace vmm {

EventFd::EventFd() : fd_(::eventfd(0, EFD_CLOEXEC)) {
  if (fd_.get() < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void EventFd::signal() const { static_cast<void>(::eventfd_write(fd_.get(), 1)); }

void EventFd::wait() const {
  eventfd_t count = 0;
  while (::eventfd_read(fd_.get(), &count) < 0 && errno == EINTR) {
  }
}

}  // namespace vmm
