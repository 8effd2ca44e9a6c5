#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace devices {

/// A bounded first-in, first-out queue of bytes. Its storage never moves, so that the bytes in
/// front() stay where they are while others are pushed behind them.
class ByteQueue {
 public:
  explicit ByteQueue(std::size_t capacity);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t room() const { return capacity_ - size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// Takes what there is room for, from the front of `bytes`; how many.
  std::size_t push(std::span<const std::byte> bytes);
  bool push(std::byte byte) { return push(std::span(&byte, 1)) == 1; }

  /// The free room behind the newest byte, as far as it is contiguous: empty only when there is
  /// none. What is written there is in the queue after extend().
  [[nodiscard]] std::span<std::byte> back();
  void extend(std::size_t count);

  /// The oldest bytes, as far as they are contiguous: empty only when the queue is.
  [[nodiscard]] std::span<const std::byte> front() const;
  /// Drops the `count` oldest bytes; there are as many.
  void pop(std::size_t count);
  void clear() { pop(size_); }

  [[nodiscard]] std::vector<std::byte> contents() const;

 private:
  std::size_t capacity_;
  std::unique_ptr<std::byte[]> storage_;
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
};

}  // namespace devices
