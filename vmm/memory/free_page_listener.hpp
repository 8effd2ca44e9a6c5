#pragma once

#include <span>

#include "vmm/memory/guest_address.hpp"

namespace vmm {

/// Who has asked a guest which of its pages are free. Any thread, one call at a time; whoever calls
/// does not wait long, and is thrown nothing.
class FreePageListener {
 public:
  virtual ~FreePageListener() = default;

  /// The guest has heard of it, and begins to answer.
  virtual void begins() = 0;
  /// These are free, it says; it may use them again at any time, before this call too.
  virtual void free(std::span<const PageRange> pages) = 0;
  /// It has no more to tell.
  virtual void told_all() = 0;
};

}  // namespace vmm
