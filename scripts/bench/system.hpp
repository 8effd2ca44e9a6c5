#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

/// What the parts of fault-floor ask of the system.
constexpr std::size_t kPage = 4096;

/// The result of a system call, which must not be negative.
template <typename Result>
Result checked(Result result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

/// Fresh memory, page-aligned.
inline std::uint8_t* memory(std::size_t size) {
  void* const address =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return static_cast<std::uint8_t*>(address);
}
