#include "vmm/os/thread.hpp"

#include <csignal>
#include <string>
#include <system_error>
#include <utility>

namespace vmm {

namespace {

std::string name_of(ThreadRole role, unsigned number) {
  switch (role) {
    case ThreadRole::vcpu: return "vcpu" + std::to_string(number);
    case ThreadRole::migration: return "migration";
    case ThreadRole::faults: return "faults";
    case ThreadRole::pages_in: return "pages-in";
    case ThreadRole::pages_out: return "pages-out";
    case ThreadRole::hashes: return "hashes";
    case ThreadRole::messages: return "messages";
    case ThreadRole::look_up: return "look-up";
    case ThreadRole::forecast: return "forecast";
    case ThreadRole::device: return "device" + std::to_string(number);
  }
  return "thread";
}

sigset_t blocked_for(ThreadRole role) {
  sigset_t blocked{};
  ::sigfillset(&blocked);
  // The kernel ends a process whose instruction causes one of these where it is blocked.
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
    ::sigdelset(&blocked, number);
  }
  if (role == ThreadRole::vcpu) ::sigdelset(&blocked, kick_signal());
  return blocked;
}

/// A thread is born with the mask of the one that makes it: no signal finds it with another.
class MaskedHere {
 public:
  explicit MaskedHere(const sigset_t& mask) { ::pthread_sigmask(SIG_SETMASK, &mask, &before_); }
  ~MaskedHere() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  MaskedHere(const MaskedHere&) = delete;
  MaskedHere& operator=(const MaskedHere&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

void nothing_escapes(const std::exception_ptr& failure) { std::rethrow_exception(failure); }

int kick_signal() { return SIGRTMIN; }

Thread::Thread(ThreadRole role, std::function<void()> body, Escaped escaped, unsigned number) {
  const MaskedHere masked(blocked_for(role));
  try {
    thread_ = std::thread(
        [name = name_of(role, number), body = std::move(body), escaped = std::move(escaped)] {
          ::pthread_setname_np(::pthread_self(), name.c_str());
          try {
            body();
          } catch (...) {
            escaped(std::current_exception());
          }
        });
  } catch (const std::system_error& error) {
    throw std::system_error(error.code(),
                            "cannot start a thread (see 'ulimit -u' and the cgroup's pids.max)");
  }
}

}  // namespace vmm
