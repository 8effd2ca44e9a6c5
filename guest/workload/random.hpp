#pragma once

#include <cstdint>

namespace guest {

/// The finaliser of SplitMix64: a bijection that leaves no visible relation between neighbours.
constexpr std::uint64_t mix(std::uint64_t value) {
  value += 0x9e37'79b9'7f4a'7c15;
  value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9;
  value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11eb;
  return value ^ (value >> 31);
}

/// xorshift64*: one word in about a nanosecond.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix(seed) | 1) {}

  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545'f491'4f6c'dd1d;
  }

  /// Uniform in [0, bound) for bounds far below 2^32.
  std::uint64_t below(std::uint64_t bound) { return (next() >> 32) * bound >> 32; }

 private:
  std::uint64_t state_;
};

}  // namespace guest
