#include "vmm/ferry/signals.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "vmm/kvm/unique_fd.hpp"

namespace ferry {

void settle_signals() {
  for (const int number : {SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU}) std::signal(number, SIG_IGN);
  sigset_t kick{};
  ::sigemptyset(&kick);
  ::sigaddset(&kick, SIGRTMIN);
  ::pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);
}

void add_unless_ignored(boost::asio::signal_set& signals, std::initializer_list<int> numbers) {
  for (const int number : numbers) {
    struct sigaction now {};
    const bool ignored = ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
    if (!ignored) signals.add(number);
  }
}

bool has_terminal() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::isatty(fd) == 1) return true;
  }
  const vmm::UniqueFd controlling(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC));
  return controlling.get() >= 0;
}

}  // namespace ferry
