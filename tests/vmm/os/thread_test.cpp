#include "vmm/os/thread.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <csignal>
#include <stdexcept>
#include <string>
#include <utility>

namespace vmm {
namespace {

bool blocked(const sigset_t& mask, int number) { return ::sigismember(&mask, number) == 1; }

sigset_t mask_here() {
  sigset_t mask{};
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return mask;
}

sigset_t mask_of(ThreadRole role) {
  sigset_t mask{};
  Thread(
      role, [&] { mask = mask_here(); }, nothing_escapes)
      .join();
  return mask;
}

TEST(Thread, IsNamedByItsRoleAndNumber) {
  const auto name_of = [](ThreadRole role, unsigned number) {
    std::array<char, 32> name{};
    const auto look = [&] { ::pthread_getname_np(::pthread_self(), name.data(), name.size()); };
    Thread(role, look, nothing_escapes, number).join();
    return std::string(name.data());
  };
  EXPECT_EQ(name_of(ThreadRole::pages_in, 0), "pages-in");
  EXPECT_EQ(name_of(ThreadRole::vcpu, 12), "vcpu12");
}

TEST(Thread, TakesNoSignalOfTheProcess) {
  const sigset_t mask = mask_of(ThreadRole::pages_out);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD, SIGTSTP, kick_signal()}) {
    EXPECT_TRUE(blocked(mask, number)) << number;
  }
  // What its own instructions cause: blocked it would end the process without a word.
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
    EXPECT_FALSE(blocked(mask, number)) << number;
  }
}

TEST(Thread, OfAVcpuIsKicked) {
  EXPECT_FALSE(blocked(mask_of(ThreadRole::vcpu), kick_signal()));
  EXPECT_TRUE(blocked(mask_of(ThreadRole::vcpu), SIGTERM));
}

TEST(Thread, LeavesTheMaskOfItsMakerAlone) {
  const sigset_t before = mask_here();
  static_cast<void>(mask_of(ThreadRole::faults));
  const sigset_t after = mask_here();
  for (int number = 1; number < SIGRTMAX; ++number) {
    EXPECT_EQ(blocked(before, number), blocked(after, number)) << number;
  }
}

TEST(Thread, HandsOnWhatEscapes) {
  std::exception_ptr seen;
  Thread(
      ThreadRole::hashes, [] { throw std::runtime_error("odd"); },
      [&](std::exception_ptr failure) { seen = std::move(failure); })
      .join();
  ASSERT_TRUE(seen);
  EXPECT_THROW(std::rethrow_exception(seen), std::runtime_error);
}

}  // namespace
}  // namespace vmm
