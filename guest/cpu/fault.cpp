#include "guest/io/console.hpp"

/// Reached from boot/interrupts.S on an exception that nobody expects, on a fresh stack at CPL 3.
extern "C" [[noreturn]] void report_fault(std::uint64_t vector, std::uint64_t error,
                                          std::uint64_t rip, std::uint64_t cr2) {
  guest::Line line;
  line << "fault vector=" << vector << " code=";
  line.hex(error) << " rip=";
  line.hex(rip) << " cr2=";
  guest::fail(guest::ExitCode::fault, line.hex(cr2));
}
