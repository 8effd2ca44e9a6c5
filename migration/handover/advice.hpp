#pragma once

#include <cstdint>
#include <string_view>

namespace migration::handover {

/// What a side can truly say of who owns the VM.
enum class Owner : std::uint8_t {
  here,        ///< this side: nobody else may run it
  other_side,  ///< the other side has it, or had it last
  in_doubt,    ///< this side does not run it, and does not know whether the other one does
  nobody,      ///< its guest has ended, here
};

/// What people are told in a stage. `text` has `{}` where the other side's address belongs.
struct Advice {
  Owner owner = Owner::here;
  bool force = false;  ///< 'ferry resume --force' is a way out, and `text` says when it is right
  std::string_view text;
};

}  // namespace migration::handover
