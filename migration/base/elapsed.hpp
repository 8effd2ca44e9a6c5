#pragma once

#include <chrono>

/// Times as reports and policies want them.
namespace migration {

[[nodiscard]] inline double ms_between(std::chrono::steady_clock::time_point from,
                                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}
[[nodiscard]] inline double ms_since(std::chrono::steady_clock::time_point start) {
  return ms_between(start, std::chrono::steady_clock::now());
}
[[nodiscard]] inline double us_since(std::chrono::steady_clock::time_point start) {
  return ms_since(start) * 1000;
}
[[nodiscard]] inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return ms_since(start) / 1000;
}

}  // namespace migration
