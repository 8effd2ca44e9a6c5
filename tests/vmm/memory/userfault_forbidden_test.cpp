#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

#include "vmm/memory/userfault.hpp"

namespace vmm {
namespace {

/// From now on this process cannot open files, and userfaultfd fails so.
bool forbid(int error) {
  const auto refuse = [](int with) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(with); };
  std::array filter = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, refuse(error)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, refuse(EACCES)),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// What a child process where userfaultfd fails so is told, or nothing when it cannot be made to.
std::string refusal(int error) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    std::string text;
    if (forbid(error)) {
      try {
        const Userfault userfault;
        text = "permitted";
      } catch (const std::system_error& failure) {
        text = failure.code().value() == error ? failure.what() : "another error";
      }
    }
    ::_exit(::write(ends[1], text.data(), text.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string text(4096, '\0');
  const ssize_t got = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

TEST(UserfaultForbidden, SaysThreeWaysToPermitIt) {
  const std::string text = refusal(EPERM);
  if (text.empty()) GTEST_SKIP() << "this kernel lacks seccomp filters";
  for (const char* way : {"vm.unprivileged_userfaultfd=1", "/dev/userfaultfd", "CAP_SYS_PTRACE"}) {
    EXPECT_NE(text.find(way), std::string::npos) << text;
  }
}

TEST(UserfaultForbidden, SaysThatTheKernelLacksIt) {
  const std::string text = refusal(ENOSYS);
  if (text.empty()) GTEST_SKIP() << "this kernel lacks seccomp filters";
  EXPECT_NE(text.find("kernel lacks userfaultfd"), std::string::npos) << text;
}

}  // namespace
}  // namespace vmm
