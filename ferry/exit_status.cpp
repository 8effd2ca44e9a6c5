#include "ferry/exit_status.hpp"

#include <cerrno>

namespace ferry {

ExitStatus status_of(const std::error_code& error) {
  switch (error.value()) {
    case EACCES:
    case EPERM:
    case EROFS: return ExitStatus::no_permission;
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EBUSY:
    case ECONNREFUSED:
    case EEXIST:
    case EHOSTUNREACH:
    case ELOOP:
    case ENAMETOOLONG:
    case ENETUNREACH:
    case ENOENT:
    case ENOTDIR: return ExitStatus::unavailable;
    default: return ExitStatus::os_error;
  }
}

bool wrong_path(const std::error_code& error) {
  switch (error.value()) {
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTDIR: return true;
    default: return false;
  }
}

}  // namespace ferry
