#include "ferry/signals.hpp"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "vmm/os/unique_fd.hpp"

namespace ferry {

namespace {

/// A shell's number of a death by signal.
constexpr int kSignalStatus = 128;

bool is_ignored(int number) {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

sigset_t set_of(std::initializer_list<int> numbers) {
  sigset_t set{};
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  return set;
}

}  // namespace

void set_up_signals() {
  for (const int number : {SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU}) std::signal(number, SIG_IGN);
  const sigset_t kick = set_of({SIGRTMIN});
  ::pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);
}

void add_unless_ignored(boost::asio::signal_set& signals, std::initializer_list<int> numbers) {
  for (const int number : numbers) {
    if (!is_ignored(number)) signals.add(number);
  }
}

void hold_signals_back() {
  const sigset_t signals = set_of({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT});
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

JobControl::JobControl(boost::asio::io_context& context, std::function<void()> about_to_stop,
                       std::function<void()> goes_on)
    : about_to_stop_(std::move(about_to_stop)), goes_on_(std::move(goes_on)), there_(context) {
  const sigset_t signals = is_ignored(SIGTSTP) ? set_of({SIGCONT}) : set_of({SIGTSTP, SIGCONT});
  const int events = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (events < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  there_.assign(events);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  wait();
}

void JobControl::wait() {
  there_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [this](boost::system::error_code cancelled) {
                      if (cancelled) return;
                      try {
                        obey();
                      } catch (...) {
                        wait();
                        throw;
                      }
                      wait();
                    });
}

void JobControl::end() { there_.close(); }

void JobControl::obey() {
  sigset_t pending{};
  if (::sigpending(&pending) == 0 && ::sigismember(&pending, SIGTSTP) == 1) {
    about_to_stop_();
    // What it does by default happens here, if nobody has taken it back meanwhile: the kernel stops
    // nobody whom nobody would continue.
    const sigset_t stop = set_of({SIGTSTP});
    ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
    ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  }
  const sigset_t go_on = set_of({SIGCONT});
  constexpr timespec kNoWait{};
  static_cast<void>(::sigtimedwait(&go_on, nullptr, &kNoWait));
  goes_on_();
}

bool has_terminal() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::isatty(fd) == 1) return true;
  }
  const vmm::UniqueFd controlling(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC));
  return controlling.get() >= 0;
}

EndSignals::EndSignals(boost::asio::io_context& context, std::function<bool()> rotate,
                       std::function<void(int)> end)
    : rotate_(std::move(rotate)), end_(std::move(end)), signals_(context) {
  add_unless_ignored(signals_, {SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  wait();
}

void EndSignals::wait() {
  signals_.async_wait([this](boost::system::error_code cancelled, int number) {
    if (cancelled) return;
    wait();  // first: whatever becomes of this one, the next is heard
    came(number);
  });
}

void EndSignals::came(int number) {
  if (number == SIGHUP && !had_terminal_ && rotate_()) return;
  end_(kSignalStatus + number);
}

}  // namespace ferry
