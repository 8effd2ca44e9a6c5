#include "placement/program/children.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "vmm/os/unique_fd.hpp"

namespace placement {

namespace {

/// Of what a child writes, more is not kept.
constexpr std::size_t kMaxOutput = 16 << 20;

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
  vmm::UniqueFd out = make_file();
  vmm::UniqueFd err = make_file();
  pid_t pid = 0;  ///< 0 once it has ended
  int status = 0;
};

sigset_t awaited_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGCHLD, SIGINT, SIGTERM}) sigaddset(&signals, number);
  return signals;
}

/// They wait until they are asked for. A signal that this process was started to ignore stays so.
class HeldSignals {
 public:
  HeldSignals() {
    const sigset_t signals = awaited_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  [[nodiscard]] const sigset_t& before() const { return before_; }

 private:
  sigset_t before_{};
};

void start(Child& child, const std::vector<std::string>& command, const sigset_t& mask) {
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
  if (error == 0) return;
  child.pid = 0;
  throw std::system_error(error, std::generic_category(), command.front());
}

void reap(Child& child, int options) {
  int status = 0;
  if (child.pid == 0 || ::waitpid(child.pid, &status, options) != child.pid) return;
  child.pid = 0;
  child.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void pass_on(const std::vector<Child>& children, int signal) {
  for (const Child& child : children) {
    if (child.pid != 0) ::kill(child.pid, signal);
  }
}

}  // namespace

std::vector<Ended> run_at_once(const std::vector<std::vector<std::string>>& commands) {
  const HeldSignals held;
  std::vector<Child> children(commands.size());
  try {
    for (std::size_t i = 0; i < commands.size(); ++i)
      start(children[i], commands[i], held.before());
  } catch (const std::system_error&) {
    pass_on(children, SIGTERM);
    for (Child& child : children) reap(child, 0);
    throw;
  }
  const sigset_t signals = awaited_signals();
  const auto runs = [](const Child& child) { return child.pid != 0; };
  while (std::ranges::any_of(children, runs)) {
    const int signal = ::sigwaitinfo(&signals, nullptr);
    if (signal == SIGINT || signal == SIGTERM) pass_on(children, signal);
    for (Child& child : children) reap(child, WNOHANG);
  }
  std::vector<Ended> ended;
  for (const Child& child : children) {
    ended.push_back({child.status, content(child.out), content(child.err)});
  }
  return ended;
}

}  // namespace placement
