#pragma once

#include <cstddef>
#include <cstdint>

#include "guest/boot/layout.h"
#include "guest/workload/random.hpp"

namespace guest {

/// Every register that CPL 3 can load by itself, as registers_hold.S lays them out.
struct alignas(64) RegisterImage {
  std::uint64_t general[16];
  std::uint64_t rflags;
  std::uint64_t ds;
  std::uint64_t es;
  std::uint64_t fs;
  std::uint64_t gs;
  std::uint64_t fs_word;
  std::uint64_t gs_word;
  std::uint64_t unused;
  std::uint8_t xsave[GUEST_FILE_SIZE - GUEST_FILE_XSAVE];
};

static_assert(offsetof(RegisterImage, rflags) == GUEST_FILE_RFLAGS);
static_assert(offsetof(RegisterImage, gs_word) == GUEST_FILE_GS_WORD);
static_assert(offsetof(RegisterImage, xsave) == GUEST_FILE_XSAVE);
static_assert(sizeof(RegisterImage) == GUEST_FILE_SIZE);

/// A register that is not what it was. `name` is null where there is none; `index` follows it
/// where there is more than one of that name.
struct RegisterChange {
  const char* name = nullptr;
  bool numbered = false;
  std::uint64_t index = 0;
  std::uint64_t got = 0;
  std::uint64_t want = 0;
};

/// Which parts of the XSAVE area there are, and where.
class RegisterLayout {
 public:
  /// Enables what the processor has (CR4, XCR0); on each vCPU.
  void enable();

  /// The XSAVE mask, 0 on a processor without XSAVE.
  std::uint32_t components() const { return components_; }

  /// Fills `image` with values that are legal for each register.
  void choose_values(RegisterImage& image, Random& random) const;

  RegisterChange compare(const RegisterImage& got, const RegisterImage& want) const;

 private:
  static constexpr int kAreas = 8;
  std::uint32_t components_ = 0;
  std::uint32_t offset_[kAreas] = {};
  std::uint32_t size_[kAreas] = {};
};

}  // namespace guest
