#pragma once

#include <string>

namespace vmm {

/// How a guest came to its end.
struct GuestEnd {
  enum class Kind {
    exit_code,  ///< it wrote `code` to its exit port
    power_off,  ///< a clean power-off or reset
    crashed,    ///< triple fault, KVM internal error: `message` says what and where
  };
  Kind kind = Kind::power_off;
  int code = 0;
  std::string message;
};

}  // namespace vmm
