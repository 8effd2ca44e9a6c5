#pragma once

#include <cstdint>

namespace guest {

/// The worst delay between when the TSC should have been looked at and when it was: at once in a
/// busy loop, at the deadline of a sleep.
class Stall {
 public:
  explicit Stall(std::uint64_t now) : expected_(now) {}

  void look(std::uint64_t now) {
    if (now > expected_ && now - expected_ > worst_) worst_ = now - expected_;
    expected_ = now;
  }
  void expect(std::uint64_t time) { expected_ = time; }

  std::uint64_t take_worst() {
    const std::uint64_t worst = worst_;
    worst_ = 0;
    return worst;
  }

 private:
  std::uint64_t expected_;
  std::uint64_t worst_ = 0;
};

}  // namespace guest
