#pragma once

#include <stdexcept>
#include <string>

#include "guest/io/console.hpp"

namespace guest {

/// What ends a guest's machine, as an exception; what() is its last line.
class MachineEnded : public std::runtime_error {
 public:
  MachineEnded(ExitCode code, const std::string& line) : std::runtime_error(line), code_(code) {}

  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

}  // namespace guest
