#include "placement/program/children.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <system_error>
#include <utility>

#include "vmm/os/unique_fd.hpp"

namespace placement {

namespace {

/// Of what a child writes, more is not kept.
constexpr std::size_t kMaxOutput = 16 << 20;
constexpr rlim_t kMaxAtOnce = 64;
/// Descriptors that this process may have besides those of its children.
constexpr rlim_t kOtherFiles = 16;

/// A file in memory, so that no child waits for a reader.
vmm::UniqueFd make_file() {
  vmm::UniqueFd file(::memfd_create("output", MFD_CLOEXEC));
  if (file.get() < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  return file;
}

std::string content(const vmm::UniqueFd& file) {
  std::string text;
  std::array<char, 65536> piece{};
  while (text.size() < kMaxOutput) {
    const ssize_t count =
        ::pread(file.get(), piece.data(), piece.size(), static_cast<off_t>(text.size()));
    if (count <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  return text;
}

struct Child {
  std::size_t number = 0;
  vmm::UniqueFd out = make_file();
  vmm::UniqueFd err = make_file();
  pid_t pid = 0;
};

Child start(std::size_t number, const std::vector<std::string>& command, const sigset_t& mask) {
  Child child{.number = number};
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, child.out.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, child.err.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  ::posix_spawnattr_setsigmask(&attributes, &mask);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int error =
      ::posix_spawn(&child.pid, arguments[0], &files, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) throw std::system_error(error, std::generic_category(), command.front());
  return child;
}

/// None while it runs.
std::optional<Ended> end_of(const Child& child) {
  int status = 0;
  const pid_t found = ::waitpid(child.pid, &status, WNOHANG);
  if (found == 0) return std::nullopt;
  Ended ended{.status = EX_OSERR, .out = content(child.out), .err = content(child.err)};
  if (found == child.pid) {
    ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  } else {
    ended.err += fmt::format("\nhow process {} ended is not known: {}\n", child.pid,
                             std::generic_category().message(errno));
  }
  return ended;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

/// As descriptors allow it: each child has two.
std::size_t most_at_once() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const rlim_t left = files.rlim_cur > kOtherFiles ? files.rlim_cur - kOtherFiles : 0;
  return std::clamp<rlim_t>(left / 2, 1, kMaxAtOnce);
}

}  // namespace

ChildRunner::ChildRunner() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGCHLD);
  for (const int signal : {SIGINT, SIGTERM}) {
    if (!is_ignored(signal)) sigaddset(&signals_, signal);
  }
  // Where it is ignored, children end without a word.
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &by_default, &children_before_);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &mask_before_);
}

ChildRunner::~ChildRunner() {
  ::sigaction(SIGCHLD, &children_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

int ChildRunner::take_signal(bool wait) const {
  const timespec at_once{};
  const int signal =
      wait ? ::sigwaitinfo(&signals_, nullptr) : ::sigtimedwait(&signals_, nullptr, &at_once);
  return signal == SIGINT || signal == SIGTERM ? signal : 0;
}

Ran ChildRunner::run(const std::vector<std::vector<std::string>>& commands) {
  Ran ran{.ended = std::vector<std::optional<Ended>>(commands.size()), .signal = 0};
  std::vector<Child> running;
  const std::size_t most = most_at_once();
  for (std::size_t next = 0;;) {
    const bool may_start = ran.signal == 0 && next < commands.size() && running.size() < most;
    if (!may_start && running.empty()) return ran;
    if (const int signal = take_signal(!may_start); signal != 0) {
      ran.signal = signal;
      for (const Child& child : running) ::kill(child.pid, signal);
    }
    std::erase_if(running, [&](const Child& child) {
      ran.ended[child.number] = end_of(child);
      return ran.ended[child.number].has_value();
    });
    if (!may_start || ran.signal != 0) continue;
    try {
      running.push_back(start(next, commands[next], mask_before_));
    } catch (const std::system_error& error) {
      ran.ended[next] = Ended{EX_OSERR, "", fmt::format("cannot start {}", error.what())};
    }
    ++next;
  }
}

}  // namespace placement
