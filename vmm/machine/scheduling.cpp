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
constexpr int kFirst = -20;
/// SCHED_FLAG_RESET_ON_FORK: the threads that such a one makes are ordinary.
constexpr std::uint64_t kResetOnFork = 1;

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

/// Gives the calling thread a short slice, and what `rise` adds to that, if it is an ordinary one.
/// False when that is not permitted.
template <typename Rise>
bool adjust(Rise rise) {
  SchedulingAttributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0U) < 0) return true;
  if (attributes.policy != SCHED_OTHER) return true;
  attributes.runtime = static_cast<std::uint64_t>(kSlice.count());
  if (attributes.nice == 0) rise(attributes);
  return ::syscall(SYS_sched_setattr, 0, &attributes, 0U) == 0;
}

}  // namespace

void wake_promptly() {
  adjust([](SchedulingAttributes&) {});
}

void wake_first() {
  if (!adjust([](SchedulingAttributes& attributes) { attributes.nice = kFirst; })) wake_promptly();
}

void wake_at_once() {
  const bool done = adjust([](SchedulingAttributes& attributes) {
    attributes.policy = SCHED_FIFO;
    attributes.priority = 1;
    attributes.runtime = 0;
    attributes.flags |= kResetOnFork;
  });
  if (!done) wake_first();
}

void move_to(int processor) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) < 0) return;
  if (processor < 0 || processor >= CPU_SETSIZE || !CPU_ISSET(processor, &allowed)) return;
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(processor, &there);
  if (::sched_setaffinity(0, sizeof(there), &there) < 0) return;
  static_cast<void>(::sched_setaffinity(0, sizeof(allowed), &allowed));
}

/// Linux: of the thread alone. Anybody may lower it, and where it is lower still it stays so.
void step_aside() {
  if (::getpriority(PRIO_PROCESS, 0) < kAside) ::setpriority(PRIO_PROCESS, 0, kAside);
}

}  // namespace vmm
