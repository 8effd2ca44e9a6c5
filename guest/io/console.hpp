#pragma once

#include <cstdint>

#include "guest/cpu/stall.hpp"
#include "guest/io/line.hpp"

/// The serial port and the exit port. Every byte out waits until the transmitter is empty, so a
/// VMM whose reader stalls can hold the guest back without losing a byte.
namespace guest {

/// How the guest ends, as the VMM's exit status.
enum class ExitCode : std::uint8_t {
  done = 0,
  page_error = 1,
  register_error = 2,
  timer_error = 3,
  bad_options = 4,
  fault = 5,
  disk_error = 6,
  entropy_error = 7,
  net_error = 8,
  balloon_error = 9,
};

/// The very first byte, which needs nothing to be initialised before it; print_hello() completes
/// its line.
void console_first_byte();
void print_hello(const Line& line);

/// Prints "# " and the line, at the beginning of a line: amid tick letters it breaks their line.
/// That takes milliseconds, so whoever watches for stalls looks at the TSC after each byte.
void print(const Line& line, Stall* watch = nullptr);

/// One tick letter, without a line around it.
void print_tick(char letter);

/// Prints "# error " and the line, and ends the machine with `code`. Of several vCPUs that call
/// it, one is heard.
[[noreturn]] void fail(ExitCode code, const Line& line);

/// Ends the machine.
[[noreturn]] void leave(ExitCode code);

/// Turns the receiver's FIFO on and, with `interrupts`, has it announce each byte.
void console_receive(bool interrupts);

/// The next byte received, or -1.
int receive();

}  // namespace guest
