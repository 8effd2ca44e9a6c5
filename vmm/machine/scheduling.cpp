#include "vmm/machine/scheduling.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

namespace vmm {

namespace {

/// The shortest that the kernel grants.
constexpr std::chrono::nanoseconds kSlice = std::chrono::microseconds(100);
constexpr int kAside = 10;

/// The kernel's struct sched_attr in its first version, which C libraries lack.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;  ///< the slice in nanoseconds, for the ordinary policies
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

}  // namespace

void wake_promptly() {
  SchedulingAttributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0U) < 0) return;
  // Whoever runs the program under another policy has said what its threads are worth.
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime = static_cast<std::uint64_t>(kSlice.count());
  static_cast<void>(::syscall(SYS_sched_setattr, 0, &attributes, 0U));
}

/// Linux: of the thread alone. Anybody may lower it, and where it is lower still it stays so.
void step_aside() {
  if (::getpriority(PRIO_PROCESS, 0) < kAside) ::setpriority(PRIO_PROCESS, 0, kAside);
}

}  // namespace vmm
