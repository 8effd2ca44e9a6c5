#include "devices/byte_queue.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace devices {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(ByteQueue, TakesOnlyWhatThereIsRoomFor) {
  ByteQueue queue(4);
  EXPECT_EQ(queue.push(bytes_of("abcdef")), 4U);
  EXPECT_EQ(queue.room(), 0U);
  EXPECT_FALSE(queue.push(std::byte{'g'}));
  EXPECT_EQ(text_of(queue.contents()), "abcd");
}

TEST(ByteQueue, KeepsTheOrderAroundItsEnd) {
  ByteQueue queue(4);
  queue.push(bytes_of("abc"));
  queue.pop(2);
  EXPECT_EQ(queue.push(bytes_of("def")), 3U);
  EXPECT_EQ(queue.front().size(), 2U);
  EXPECT_EQ(text_of(queue.contents()), "cdef");
  queue.pop(2);
  EXPECT_EQ(text_of(queue.contents()), "ef");
  EXPECT_EQ(queue.front().size(), 2U);
}

TEST(ByteQueue, DoesNotMoveItsFrontWhenMoreIsPushed) {
  ByteQueue queue(8);
  queue.push(bytes_of("ab"));
  const auto front = queue.front();
  queue.push(bytes_of("cdefgh"));
  EXPECT_EQ(queue.front().data(), front.data());
  EXPECT_EQ(front[1], std::byte{'b'});
}

TEST(ByteQueue, IsEmptyAfterItIsCleared) {
  ByteQueue queue(4);
  queue.push(bytes_of("abc"));
  queue.clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.front().empty());
  EXPECT_EQ(queue.room(), 4U);
}

}  // namespace
}  // namespace devices
