#include "devices/network/readiness.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <system_error>

namespace devices::network {

namespace {

[[nodiscard]] int control(int epoll, int operation, int descriptor, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  return ::epoll_ctl(epoll, operation, descriptor, &event) == 0 ? 0 : errno;
}

[[noreturn]] void fail_to_wait(int error) {
  throw std::system_error(error, std::generic_category(), "waiting for a network");
}

}  // namespace

Readiness::Readiness() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_.get() < 0) throw std::system_error(errno, std::generic_category(), "epoll");
}

void Readiness::add(int descriptor, std::uint32_t events) const {
  if (const int error = control(fd_.get(), EPOLL_CTL_ADD, descriptor, events); error != 0) {
    fail_to_wait(error);
  }
}

void Readiness::change(int descriptor, std::uint32_t events) const {
  const int error = control(fd_.get(), EPOLL_CTL_MOD, descriptor, events);
  if (error != 0 && error != ENOENT) fail_to_wait(error);
}

void Readiness::remove(int descriptor) const {
  static_cast<void>(control(fd_.get(), EPOLL_CTL_DEL, descriptor, 0));
}

}  // namespace devices::network
