#include "tests/guest/console_double.hpp"

namespace guest {

void fail(ExitCode code, const Line& line) {
  throw MachineEnded(code, std::string(line.data(), line.size()));
}

}  // namespace guest
