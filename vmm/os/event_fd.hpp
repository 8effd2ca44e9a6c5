#pragma once

#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// A count that the kernel keeps: what wakes a thread, from any other and from KVM.
class EventFd {
 public:
  /// std::system_error when there is none to have.
  EventFd();

  [[nodiscard]] int get() const { return fd_.get(); }
  /// Counts one up.
  void signal() const;
  /// Waits until it is not zero, and makes it so.
  void wait() const;

 private:
  UniqueFd fd_;
};

}  // namespace vmm
