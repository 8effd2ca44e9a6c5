#include "devices/byte_queue.hpp"

#include <algorithm>
#include <cassert>

#include "vmm/bytes/copy_bytes.hpp"

namespace devices {

// Not cleared: pages of a queue that is never filled are never touched.
ByteQueue::ByteQueue(std::size_t capacity)
    : capacity_(capacity), storage_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

std::size_t ByteQueue::push(std::span<const std::byte> bytes) {
  bytes = bytes.first(std::min(bytes.size(), room()));
  for (auto rest = bytes; !rest.empty();) {
    const std::size_t count = std::min(rest.size(), back().size());
    vmm::copy_bytes(rest.first(count), back());
    extend(count);
    rest = rest.subspan(count);
  }
  return bytes.size();
}

std::span<std::byte> ByteQueue::back() {
  const std::size_t end = (begin_ + size_) % capacity_;
  return {storage_.get() + end, std::min(room(), capacity_ - end)};
}

void ByteQueue::extend(std::size_t count) {
  assert(count <= room());
  size_ += count;
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
