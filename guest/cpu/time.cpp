#include "guest/cpu/time.hpp"

#include "guest/cpu/service.hpp"

namespace guest {
namespace {

constexpr std::uint32_t kKvmLeaf = 0x4000'0000;
constexpr std::uint32_t kKvmFeaturesClock2 = 1u << 3;
constexpr std::uint32_t kMsrSystemTime = 0x4b56'4d01;

/// The kernel's pvclock_vcpu_time_info.
struct alignas(64) ClockPage {
  std::uint32_t version;
  std::uint32_t pad0;
  std::uint64_t tsc_timestamp;
  std::uint64_t system_time;
  std::uint32_t tsc_to_system_mul;
  std::int8_t tsc_shift;
  std::uint8_t flags;
  std::uint8_t pad[2];
};

// Stays registered: the clock is state that a migration must carry.
ClockPage clock_page;

std::uint64_t khz;
std::uint64_t start;

bool kvm_has_clock() {
  const CpuidResult id = cpuid(kKvmLeaf);
  constexpr std::uint32_t kKvmk = 0x4b4d564b;
  return id.ebx == kKvmk && (cpuid(kKvmLeaf + 1).eax & kKvmFeaturesClock2) != 0;
}

std::uint64_t khz_from_kvmclock() {
  write_msr(kMsrSystemTime, reinterpret_cast<std::uint64_t>(&clock_page) | 1);
  const volatile ClockPage& page = clock_page;
  const std::uint32_t multiplier = page.tsc_to_system_mul;
  if (multiplier == 0) return 0;
  const int shift = page.tsc_shift;
  // ns = ((tsc << shift) * multiplier) >> 32, so a millisecond is this many cycles.
  std::uint64_t result = (std::uint64_t{1'000'000} << 32) / multiplier;
  return shift < 0 ? result << -shift : result >> shift;
}

std::uint16_t pit_count() {
  out8(0x43, 0x00);  // latch channel 0
  const std::uint8_t low = in8(0x40);
  return static_cast<std::uint16_t>(low | (in8(0x40) << 8));
}

std::uint64_t khz_from_pit() {
  constexpr std::uint64_t kPitHz = 1'193'182;
  constexpr std::uint16_t kWaitCounts = 23'864;  // 20 ms
  out8(0x43, 0x34);                              // channel 0, rate generator, from 65536 down
  out8(0x40, 0);
  out8(0x40, 0);
  const std::uint16_t first = pit_count();
  const std::uint64_t from = read_tsc();
  std::uint16_t passed = 0;
  while (passed < kWaitCounts) passed = static_cast<std::uint16_t>(first - pit_count());
  const std::uint64_t cycles = read_tsc() - from;
  return cycles * kPitHz / passed / 1000;
}

}  // namespace

void time_start() {
  start = read_tsc();
  if (kvm_has_clock()) khz = khz_from_kvmclock();
  if (khz == 0) khz = khz_from_pit();
}

std::uint64_t tsc_khz() { return khz; }
std::uint64_t start_tsc() { return start; }
std::uint64_t microseconds(std::uint64_t count) { return count * khz / 1000; }

std::uint64_t to_microseconds(std::uint64_t interval) {
  return interval / khz * 1000 + interval % khz * 1000 / khz;
}

void spin_for(std::uint64_t interval) {
  const std::uint64_t from = read_tsc();
  while (read_tsc() - from < interval) relax();
}

}  // namespace guest
