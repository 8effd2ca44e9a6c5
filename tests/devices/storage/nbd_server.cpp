#include "tests/devices/storage/nbd_server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "vmm/os/unique_fd.hpp"

namespace devices::storage {

namespace {

constexpr int kFirstPassed = 3;  ///< where the protocol of systemd puts sockets

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

vmm::UniqueFd listen_at(const std::string& path) {
  vmm::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(&address.sun_path[0], sizeof(address.sun_path) - 1);
  std::filesystem::remove(path);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ||
      ::listen(socket.get(), 8) < 0) {
    fail("no socket for nbdkit");
  }
  return socket;
}

}  // namespace

std::string NbdServer::missing() {
  return std::system("nbdkit --version >/dev/null 2>&1") == 0 ? "" : "nbdkit is not installed";
}

NbdServer::NbdServer(std::vector<std::string> arguments) {
  directory_ = testing::TempDir() + "/ferry-nbd-XXXXXX";
  if (::mkdtemp(directory_.data()) == nullptr) fail("no directory for nbdkit");
  start(arguments);
}

NbdServer::~NbdServer() {
  kill();
  std::filesystem::remove_all(directory_);
}

std::string NbdServer::uri(const std::string& name) const {
  return "nbd+unix:///" + name + "?socket=" + path("socket");
}

void NbdServer::stop() const {
  ::kill(pid_, SIGSTOP);
  ::waitpid(pid_, nullptr, WUNTRACED);
}

void NbdServer::go_on() const { ::kill(pid_, SIGCONT); }

void NbdServer::kill() {
  if (pid_ < 0) return;
  std::filesystem::remove(path("socket"));
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void NbdServer::start(const std::vector<std::string>& arguments) {
  const vmm::UniqueFd socket = listen_at(path("socket"));
  std::vector<std::string> words = {
      "sh", "-c", R"(LISTEN_PID=$$ LISTEN_FDS=1 exec nbdkit --foreground "$@")", "sh"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  // It is passed on also if it is that already.
  ::posix_spawn_file_actions_adddup2(&actions, socket.get(), kFirstPassed);
  const int error = ::posix_spawnp(&pid_, "sh", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), "no shell");
}

}  // namespace devices::storage
