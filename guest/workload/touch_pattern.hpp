#pragma once

#include <cstdint>

#include "guest/workload/random.hpp"

namespace guest {

enum class TouchOrder : std::uint8_t { none, sequential, backward, uniform, skew };

/// The order in which pages [begin, begin + size) are read, size > 0. The sequential orders begin
/// in the middle and go round; `skew` has its hot region there, a `parts`th of the pages and at
/// least one. So what is read first is neither the first nor the last that a sweep through memory
/// reaches, as a program's working set in a machine's memory is.
class TouchPattern {
 public:
  TouchPattern(TouchOrder order, std::uint64_t begin, std::uint64_t size, std::uint64_t hot_percent,
               std::uint64_t parts)
      : order_(order),
        begin_(begin),
        size_(size),
        hot_percent_(hot_percent),
        hot_size_(size / parts == 0 ? 1 : size / parts),
        position_(size / 2),
        random_(begin + 1) {}

  /// Back to where it began, where the order has a beginning.
  void restart() { position_ = size_ / 2; }

  /// The next page.
  std::uint64_t next() {
    if (order_ == TouchOrder::uniform) return begin_ + random_.below(size_);
    if (order_ == TouchOrder::skew) return begin_ + skewed();
    const std::uint64_t page = begin_ + position_;
    if (order_ == TouchOrder::backward) {
      position_ = (position_ == 0 ? size_ : position_) - 1;
    } else if (++position_ == size_) {
      position_ = 0;
    }
    return page;
  }

 private:
  std::uint64_t skewed() {
    const std::uint64_t before = (size_ - hot_size_) / 2;
    if (hot_size_ == size_ || random_.below(100) < hot_percent_) {
      return before + random_.below(hot_size_);
    }
    const std::uint64_t cold = random_.below(size_ - hot_size_);
    return cold < before ? cold : cold + hot_size_;
  }

  TouchOrder order_;
  std::uint64_t begin_;
  std::uint64_t size_;
  std::uint64_t hot_percent_;
  std::uint64_t hot_size_;
  std::uint64_t position_;
  Random random_;
};

}  // namespace guest
