#include "vmm/os/scheduling.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <optional>

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

/// The calling thread's; none where it is not an ordinary thread.
std::optional<SchedulingAttributes> ordinary() {
  SchedulingAttributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0U) < 0) return std::nullopt;
  if (attributes.policy != SCHED_OTHER) return std::nullopt;
  return attributes;
}

/// The same with a short slice.
std::optional<SchedulingAttributes> prompt() {
  auto attributes = ordinary();
  if (attributes) attributes->runtime = static_cast<std::uint64_t>(kSlice.count());
  return attributes;
}

/// Whether it is permitted.
bool set(const SchedulingAttributes& attributes) {
  return ::syscall(SYS_sched_setattr, 0, &attributes, 0U) == 0;
}

}  // namespace

void wake_promptly() {
  if (const auto attributes = prompt()) set(*attributes);
}

void wake_first() {
  auto attributes = prompt();
  if (!attributes || attributes->nice != 0) return wake_promptly();
  attributes->nice = kFirst;
  attributes->flags |= kResetOnFork;
  if (!set(*attributes)) wake_promptly();
}

WakesFirst::WakesFirst() {
  if (const auto before = ordinary()) {
    ordinary_ = true;
    nice_ = before->nice;
  }
  wake_first();
}

WakesFirst::~WakesFirst() {
  if (!ordinary_) return;
  SchedulingAttributes as_before;  // with the slice of any thread
  as_before.nice = nice_;
  set(as_before);
}

bool wake_at_once() {
  auto attributes = prompt();
  if (attributes && attributes->nice == 0) {
    attributes->policy = SCHED_FIFO;
    attributes->priority = 1;
    attributes->runtime = 0;
    attributes->flags |= kResetOnFork;
    if (set(*attributes)) return true;
  }
  wake_first();
  return false;
}

bool move_to(int processor) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) < 0) return false;
  if (processor < 0 || processor >= CPU_SETSIZE || !CPU_ISSET(processor, &allowed)) return false;
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(processor, &there);
  if (::sched_setaffinity(0, sizeof(there), &there) < 0) return false;
  static_cast<void>(::sched_setaffinity(0, sizeof(allowed), &allowed));
  return true;
}

void keep_off(int processor) {
  thread_local int kept_off = -1;
  thread_local cpu_set_t given, left;
  if (processor == kept_off) return;
  cpu_set_t now;
  if (::sched_getaffinity(0, sizeof(now), &now) < 0) return;
  // Somebody else may have given it others meanwhile.
  if (kept_off < 0 || CPU_EQUAL(&now, &left) == 0) given = now;
  left = given;
  if (processor >= 0 && processor < CPU_SETSIZE) CPU_CLR(processor, &left);
  if (CPU_COUNT(&left) == 0) left = given;
  if (CPU_EQUAL(&now, &left) == 0) static_cast<void>(::sched_setaffinity(0, sizeof(left), &left));
  kept_off = processor;
}

/// Linux: of the thread alone. Anybody may lower it, and where it is lower still it stays so.
void step_aside() {
  if (::getpriority(PRIO_PROCESS, 0) < kAside) ::setpriority(PRIO_PROCESS, 0, kAside);
}

}  // namespace vmm
