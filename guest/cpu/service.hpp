#pragma once

#include <cstdint>

#include "guest/boot/layout.h"

/// What only CPL 0 can do, asked for with a HLT that faults (boot/interrupts.S). A call costs some
/// twenty CPL 0 instructions.
namespace guest {

template <int service>
inline std::uint64_t call_service(std::uint64_t first = 0, std::uint64_t second = 0) {
  std::uint64_t result = service;
  asm volatile("hlt"
               : "+a"(result)
               : "D"(first), "S"(second)
               : "rbx", "rcx", "rdx", "memory", "cc");
  return result;
}

struct CpuidResult {
  std::uint32_t eax;
  std::uint32_t ebx;
  std::uint32_t ecx;
  std::uint32_t edx;
};

/// At CPL 0 even though CPL 3 could: a software KVM answers only there for the virtual machine.
inline CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0) {
  CpuidResult result;
  asm volatile("hlt"
               : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
               : "a"(GUEST_SERVICE_CPUID), "D"(leaf), "S"(subleaf)
               : "memory", "cc");
  return result;
}

inline std::uint64_t read_msr(std::uint32_t index) {
  return call_service<GUEST_SERVICE_RDMSR>(index);
}

inline void write_msr(std::uint32_t index, std::uint64_t value) {
  call_service<GUEST_SERVICE_WRMSR>(index, value);
}

/// At CPL 0: the task state's I/O bitmap opens the ports below 0x400 only.
inline std::uint32_t in32(std::uint16_t port) {
  return static_cast<std::uint32_t>(call_service<GUEST_SERVICE_IN32>(port));
}

inline void out32(std::uint16_t port, std::uint32_t value) {
  call_service<GUEST_SERVICE_OUT32>(port, value);
}

}  // namespace guest
