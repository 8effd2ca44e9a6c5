#pragma once

#include <cstddef>
#include <cstdint>

#include "guest/boot/layout.h"

namespace guest {

/// What a vCPU did, for the lines that vCPU 0 prints. Written by its owner only.
struct Progress {
  std::uint64_t writes = 0;
  std::uint64_t walks = 0;
  std::uint64_t register_rounds = 0;
  std::uint64_t timer_expected = 0;
};

/// The bottom of a CPU's page; the rest of it is the stack of its interrupt handlers, which
/// count here (boot/interrupts.S).
struct Processor {
  volatile std::uint64_t wakes;
  volatile std::uint64_t timer_count;
  volatile std::uint64_t serial_count;
  volatile std::uint64_t device_count;  // message-signalled
  std::uint64_t user_stack;
  std::uint32_t id;
  Progress progress;
};

static_assert(offsetof(Processor, wakes) == GUEST_CPU_WAKES);
static_assert(offsetof(Processor, timer_count) == GUEST_CPU_TIMER_COUNT);
static_assert(offsetof(Processor, serial_count) == GUEST_CPU_SERIAL_COUNT);
static_assert(offsetof(Processor, device_count) == GUEST_CPU_DEVICE_COUNT);
static_assert(offsetof(Processor, user_stack) == GUEST_CPU_USER_STACK);
static_assert(sizeof(Processor) <= 1024, "the rest of the page is a stack");

/// The processor that started `id`th; 0 is the one that booted.
Processor& processor(std::uint32_t id);

/// How many have reached C++ so far.
std::uint32_t processors_up();

/// Called once by each processor as it reaches C++.
void announce_processor(std::uint32_t id);

/// Starts all others. Whatever they need must be in place; memory below 1 MiB is overwritten.
void start_other_processors();

}  // namespace guest
