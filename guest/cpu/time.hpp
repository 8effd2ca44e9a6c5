#pragma once

#include <cstdint>

#include "guest/cpu/instructions.hpp"

/// Guest time is TSC time, counted from the start; its frequency is asked once.
namespace guest {

/// A TSC time that never comes.
inline constexpr std::uint64_t kNever = ~std::uint64_t{0};

/// Finds the frequency: from kvmclock where KVM offers it, else against the PIT. vCPU 0, once.
void time_start();

std::uint64_t tsc_khz();

/// TSC at time_start().
std::uint64_t start_tsc();

std::uint64_t microseconds(std::uint64_t count);        ///< as a TSC interval
std::uint64_t to_microseconds(std::uint64_t interval);  ///< of a TSC interval
inline std::uint64_t milliseconds(std::uint64_t count) { return count * tsc_khz(); }

void spin_for(std::uint64_t interval);

}  // namespace guest
