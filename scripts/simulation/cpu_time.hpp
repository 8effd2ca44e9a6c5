#pragma once

#include <ctime>

namespace study {

/// That this process has taken.
inline double cpu_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

}  // namespace study
