#include "vmm/memory/memory_faults.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "vmm/memory/guest_memory.hpp"

namespace vmm {
namespace {

constexpr int kStatus = 71;

/// Touches what is no part of its file any more.
[[noreturn]] void touch_lost_ram() {
  explain_memory_faults(kStatus);
  GuestMemory memory(16_MiB, Backing::memfd);
  if (::ftruncate(memory.file(), 4096) == 0) memory.pages({3, 1})[0] = std::byte{1};
  ::_exit(0);
}

[[noreturn]] void touch_lost_file() {
  explain_memory_faults(kStatus);
  const GuestMemory memory(16_MiB);
  const UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  if (::ftruncate(file.get(), 8192) != 0) ::_exit(1);
  auto* const bytes = static_cast<volatile char*>(
      ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  if (::ftruncate(file.get(), 0) == 0) bytes[5000] = 1;
  ::_exit(0);
}

[[noreturn]] void hear_of_bad_memory(int code) {
  explain_memory_faults(kStatus);
  GuestMemory memory(16_MiB);
  siginfo_t info{};
  info.si_signo = SIGBUS;
  info.si_code = code;
  info.si_addr = memory.pages({2, 1}).data();
  // As the kernel sends it; which it may be sent so from oneself only.
  ::syscall(SYS_rt_sigqueueinfo, ::getpid(), SIGBUS, &info);
  ::_exit(0);
}

class MemoryFaults : public ::testing::Test {
 protected:
  MemoryFaults() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

using MemoryFaultsDeathTest = MemoryFaults;

TEST_F(MemoryFaultsDeathTest, OfGuestRamAreExplained) {
  EXPECT_EXIT(
      touch_lost_ram(), ::testing::ExitedWithCode(kStatus),
      "ferry: there is no memory for a page of guest RAM .offset 0x3000.: a file .* was cut "
      "short, or its file system is full. This process ends, and its VM with it");
}

TEST_F(MemoryFaultsDeathTest, OfOtherMemoryAreExplained) {
  EXPECT_EXIT(touch_lost_file(), ::testing::ExitedWithCode(kStatus),
              "of this process .address 0x[0-9a-f]+., and not of guest RAM");
}

TEST_F(MemoryFaultsDeathTest, OfBadMemoryAreExplained) {
  EXPECT_EXIT(hear_of_bad_memory(BUS_MCEERR_AR), ::testing::ExitedWithCode(kStatus),
              "the host's memory is bad: a page of guest RAM .offset 0x2000.*This process ends");
}

TEST_F(MemoryFaultsDeathTest, OfBadMemoryThatNobodyTouchedEndNothing) {
  EXPECT_EXIT(hear_of_bad_memory(BUS_MCEERR_AO), ::testing::ExitedWithCode(0),
              "the host's memory is bad.*the VM goes on");
}

}  // namespace
}  // namespace vmm
