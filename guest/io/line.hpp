#pragma once

#include <cstddef>
#include <cstdint>

namespace guest {

/// A line of text under construction; what does not fit is cut off.
class Line {
 public:
  Line& operator<<(const char* text);
  Line& operator<<(std::uint64_t number);  ///< in decimal
  Line& append(const char* text, std::size_t size);
  Line& hex(std::uint64_t number);  ///< with 0x in front

  const char* data() const { return text_; }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kCapacity = 240;

  void put(char character);

  char text_[kCapacity];
  std::size_t size_ = 0;
};

}  // namespace guest
