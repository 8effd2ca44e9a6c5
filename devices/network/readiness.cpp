#include "devices/network/readiness.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <system_error>

namespace devices::network {

namespace {

void control(int epoll, int operation, int descriptor, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  if (::epoll_ctl(epoll, operation, descriptor, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "waiting for a network");
  }
}

}  // namespace

Readiness::Readiness() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_.get() < 0) throw std::system_error(errno, std::generic_category(), "epoll");
}

void Readiness::add(int descriptor, std::uint32_t events) const {
  control(fd_.get(), EPOLL_CTL_ADD, descriptor, events);
}

void Readiness::change(int descriptor, std::uint32_t events) const {
  control(fd_.get(), EPOLL_CTL_MOD, descriptor, events);
}

void Readiness::remove(int descriptor) const {
  static_cast<void>(::epoll_ctl(fd_.get(), EPOLL_CTL_DEL, descriptor, nullptr));
}

}  // namespace devices::network
