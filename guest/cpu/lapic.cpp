#include "guest/cpu/lapic.hpp"

#include "guest/boot/layout.h"
#include "guest/cpu/service.hpp"
#include "guest/cpu/time.hpp"

namespace guest {
namespace {

constexpr std::uint32_t kRegId = 0x20;
constexpr std::uint32_t kRegTaskPriority = 0x80;
constexpr std::uint32_t kRegSpurious = 0xf0;
constexpr std::uint32_t kRegCommand = 0x300;
constexpr std::uint32_t kRegCommandTarget = 0x310;
constexpr std::uint32_t kRegTimer = 0x320;
constexpr std::uint32_t kRegInitialCount = 0x380;
constexpr std::uint32_t kRegDivide = 0x3e0;

constexpr std::uint32_t kSoftwareEnable = 0x100;
constexpr std::uint32_t kDivideBy1 = 0xb;
constexpr std::uint32_t kDivideBy16 = 0x3;
constexpr std::uint32_t kModePeriodic = 1u << 17;
constexpr std::uint32_t kModeTscDeadline = 2u << 17;
constexpr std::uint32_t kInitAllButSelf = 0x000c4500;
constexpr std::uint32_t kStartupAllButSelf = 0x000c4600;

constexpr std::uint32_t kCpuid1EcxTscDeadline = 1u << 24;

// KVM's and QEMU's timers both count at 1 GHz.
constexpr std::uint64_t kBusHz = 1'000'000'000;

// The same on all vCPUs.
enum class TimerMode : std::uint8_t { one_shot, tsc_deadline, periodic };
constinit TimerMode timer_mode = TimerMode::one_shot;

volatile std::uint32_t& lapic(std::uint32_t reg) {
  return *reinterpret_cast<volatile std::uint32_t*>(std::uint64_t{GUEST_LAPIC} + reg);
}

volatile std::uint32_t& ioapic(std::uint32_t offset) {
  return *reinterpret_cast<volatile std::uint32_t*>(std::uint64_t{GUEST_IOAPIC} + offset);
}

void start_one_shot(std::uint64_t deadline) {
  constexpr std::uint64_t kLongest = 0xffff'ffff;
  const std::uint64_t now = read_tsc();
  // Rounded up: a timer that fires early makes for a second sleep.
  const std::uint64_t wait_us = deadline > now ? to_microseconds(deadline - now) + 1 : 1;
  const std::uint64_t count = wait_us > kLongest / 1000 ? kLongest : wait_us * 1000;
  lapic(kRegInitialCount) = static_cast<std::uint32_t>(count);
}

}  // namespace

void lapic_enable() {
  const bool has_deadline = (cpuid(1).ecx & kCpuid1EcxTscDeadline) != 0;
  if (timer_mode != TimerMode::periodic && has_deadline) timer_mode = TimerMode::tsc_deadline;
  lapic(kRegTaskPriority) = 0;
  lapic(kRegSpurious) = kSoftwareEnable | GUEST_VECTOR_SPURIOUS;
  lapic(kRegDivide) = kDivideBy1;
  lapic(kRegTimer) = GUEST_VECTOR_TIMER | (has_deadline ? kModeTscDeadline : 0);
}

void lapic_sleep(std::uint64_t deadline, std::uint64_t wakes) {
  const bool arm = timer_mode != TimerMode::periodic && deadline != kNever;
  if (arm && timer_mode == TimerMode::one_shot) start_one_shot(deadline);
  const bool arm_deadline = arm && timer_mode == TimerMode::tsc_deadline;
  call_service<GUEST_SERVICE_SLEEP>(wakes, arm_deadline ? deadline : 0);
}

void lapic_tick(std::uint64_t hz) {
  timer_mode = TimerMode::periodic;
  lapic(kRegDivide) = kDivideBy16;
  lapic(kRegTimer) = GUEST_VECTOR_TIMER | kModePeriodic;
  lapic(kRegInitialCount) = static_cast<std::uint32_t>(kBusHz / 16 / hz);
}

void ioapic_route(std::uint8_t pin, std::uint8_t vector) {
  const std::uint32_t self = lapic(kRegId);
  const std::uint32_t low = 0x10u + 2u * pin;
  ioapic(0x00) = low + 1;
  ioapic(0x10) = self;
  ioapic(0x00) = low;
  ioapic(0x10) = vector;
}

std::uint32_t lapic_message_address() { return GUEST_LAPIC | lapic(kRegId) >> 24 << 12; }

void lapic_start_others(std::uint32_t entry) {
  lapic(kRegCommandTarget) = 0;
  lapic(kRegCommand) = kInitAllButSelf;
  spin_for(microseconds(200));
  // The second one is for processors that missed the first; those that run ignore it.
  lapic(kRegCommand) = kStartupAllButSelf | (entry >> 12);
  spin_for(microseconds(200));
  lapic(kRegCommand) = kStartupAllButSelf | (entry >> 12);
}

}  // namespace guest
