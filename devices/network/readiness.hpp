#pragma once

#include <cstdint>

#include "vmm/os/unique_fd.hpp"

namespace devices::network {

/// A descriptor that is readable when another one is ready, which comes and goes. Whoever waits for
/// it keeps nothing open.
class Readiness {
 public:
  /// std::system_error when there is none to have.
  Readiness();

  [[nodiscard]] int get() const { return fd_.get(); }
  /// `events`, of epoll: ready is what has them, or is at its end.
  void add(int descriptor, std::uint32_t events) const;
  /// Of one that was removed, maybe by another thread: nothing.
  void change(int descriptor, std::uint32_t events) const;
  void remove(int descriptor) const;

 private:
  vmm::UniqueFd fd_;
};

}  // namespace devices::network
