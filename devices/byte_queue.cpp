#include "devices/byte_queue.hpp"

#include <algorithm>
#include <cassert>

namespace devices {

// Not cleared: pages of a queue that is never filled are never touched.
ByteQueue::ByteQueue(std::size_t capacity)
    : capacity_(capacity), storage_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

std::size_t ByteQueue::push(std::span<const std::byte> bytes) {
  bytes = bytes.first(std::min(bytes.size(), room()));
  const std::size_t end = (begin_ + size_) % capacity_;
  const std::size_t before_wrap = std::min(bytes.size(), capacity_ - end);
  std::ranges::copy(bytes.first(before_wrap), storage_.get() + end);
  std::ranges::copy(bytes.subspan(before_wrap), storage_.get());
  size_ += bytes.size();
  return bytes.size();
}

std::span<const std::byte> ByteQueue::front() const {
  return {storage_.get() + begin_, std::min(size_, capacity_ - begin_)};
}

void ByteQueue::pop(std::size_t count) {
  assert(count <= size_);
  begin_ = (begin_ + count) % capacity_;
  size_ -= count;
}

std::vector<std::byte> ByteQueue::contents() const {
  const auto first = front();
  std::vector<std::byte> bytes(first.begin(), first.end());
  bytes.insert(bytes.end(), storage_.get(), storage_.get() + (size_ - first.size()));
  return bytes;
}

}  // namespace devices
