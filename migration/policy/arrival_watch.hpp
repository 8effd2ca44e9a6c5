#pragma once

namespace migration {

/// Decides when a thread that is woken by what arrives goes to the processor where that happens:
/// woken from another one it begins later, by about as long as a small request takes. Going costs
/// as much, so that it pays only where it will stay so: if each of a few looks in a row has found
/// the same processor, and the thread elsewhere.
class ArrivalWatch {
 public:
  /// A look found the last arrival at one processor (negative: nobody knows) and the thread at
  /// another, or the same. Whether to go there now.
  [[nodiscard]] bool should_follow(int arrival, int own) {
    const bool again = arrival >= 0 && arrival != own && arrival == last_;
    last_ = arrival;
    looks_ = again ? looks_ + 1 : 0;
    return looks_ == kLooks;
  }

 private:
  static constexpr unsigned kLooks = 4;  // after the first one there

  int last_ = -1;
  unsigned looks_ = 0;
};

}  // namespace migration
