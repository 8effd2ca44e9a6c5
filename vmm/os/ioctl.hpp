#pragma once

#include <sys/ioctl.h>

#include <cerrno>
#include <system_error>

namespace vmm {

/// Calls an ioctl; a failure throws std::system_error that names it. Returns what it returned.
template <typename Argument>
int checked_ioctl(int fd, unsigned long request, Argument argument, const char* name) {
  const int result = ::ioctl(fd, request, argument);
  if (result < 0) throw std::system_error(errno, std::generic_category(), name);
  return result;
}

}  // namespace vmm
