#pragma once

#include <algorithm>
#include <chrono>

namespace devices::virtio {

/// How long a queue's thread looks for the next request by itself before it sleeps. A driver that
/// waits for each answer often has the next one soon, and to be woken takes longer than that. Grows
/// while they come so soon, and ends when one does not: a queue that is quiet costs nothing.
class PollWindow {
 public:
  using Duration = std::chrono::steady_clock::duration;
  static constexpr Duration kLeast = std::chrono::microseconds(8);
  static constexpr Duration kMost = std::chrono::microseconds(100);

  [[nodiscard]] Duration length() const { return length_; }

  /// The next request came so long after there was none.
  void came_after(Duration wait) {
    if (wait > kMost) {
      end();
    } else if (wait > length_) {
      length_ = std::clamp(2 * length_, kLeast, kMost);
    }
  }
  /// The driver notified, and there was no request.
  void end() { length_ = Duration::zero(); }

 private:
  Duration length_ = Duration::zero();
};

}  // namespace devices::virtio
