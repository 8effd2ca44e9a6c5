#pragma once

#include <system_error>
#include <thread>
#include <utility>

namespace vmm {

/// A thread, or std::system_error that says what limits their number.
template <typename Function>
std::thread start_thread(Function&& function) {
  try {
    return std::thread(std::forward<Function>(function));
  } catch (const std::system_error& error) {
    throw std::system_error(error.code(),
                            "cannot start a thread (see 'ulimit -u' and the cgroup's pids.max)");
  }
}

}  // namespace vmm
