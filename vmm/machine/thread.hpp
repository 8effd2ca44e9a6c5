#pragma once

#include <pthread.h>

#include <csignal>
#include <initializer_list>
#include <system_error>
#include <thread>
#include <utility>

namespace vmm {

/// The signals by which people, shells and service managers steer a process.
inline sigset_t steering_signals() {
  sigset_t signals{};
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT}) {
    ::sigaddset(&signals, number);
  }
  return signals;
}

/// A thread, or std::system_error that says what limits their number. It gets no signal that steers
/// the process: those are the main thread's, which so can hold them back.
template <typename Function>
std::thread start_thread(Function&& function) {
  const sigset_t steering = steering_signals();
  sigset_t before{};
  ::pthread_sigmask(SIG_BLOCK, &steering, &before);  // the new thread inherits it
  const auto restore = [&before] { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  try {
    std::thread thread(std::forward<Function>(function));
    restore();
    return thread;
  } catch (const std::system_error& error) {
    restore();
    throw std::system_error(error.code(),
                            "cannot start a thread (see 'ulimit -u' and the cgroup's pids.max)");
  }
}

}  // namespace vmm
