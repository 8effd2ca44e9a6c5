#pragma once

#include <cstdint>

/// The local interrupt controller, in xAPIC mode, reached from CPL 3 through its page.
namespace guest {

/// To be called once on every vCPU before anything else here.
void lapic_enable();

/// Sleeps until TSC time `deadline`, or any interrupt, unless one came after `wakes` was read from
/// the processor's counter. With never, or while a periodic timer runs, the timer stays as it is.
void lapic_sleep(std::uint64_t deadline, std::uint64_t wakes);

/// `hz` interrupts a second from now on; a sleep's deadline has no effect any more.
void lapic_tick(std::uint64_t hz);

/// Routes the edge-triggered global interrupt `pin` to `vector` on the calling processor.
void ioapic_route(std::uint8_t pin, std::uint8_t vector);

/// Where a device writes a vector (a message-signalled interrupt) for the calling processor.
std::uint32_t lapic_message_address();

/// INIT and start-up interrupts to every other processor; `entry` is page-aligned, below 1 MiB.
void lapic_start_others(std::uint32_t entry);

}  // namespace guest
