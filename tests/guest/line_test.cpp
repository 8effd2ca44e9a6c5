#include "guest/io/line.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace guest {
namespace {

std::string text(const Line& line) { return {line.data(), line.size()}; }

TEST(GuestLine, PutsTextAndNumbersOneAfterAnother) {
  Line line;
  line << "tick " << std::uint64_t{104} << " writes=" << std::uint64_t{0};
  EXPECT_EQ(text(line), "tick 104 writes=0");
}

TEST(GuestLine, HoldsTheLargestNumber) {
  Line line;
  line << std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(text(line), "18446744073709551615");
}

TEST(GuestLine, PutsHexadecimalNumbersWithoutLeadingZeros) {
  Line line;
  line.hex(0).append(" ", 1).hex(0xfee00000).append(" ", 1).hex(~std::uint64_t{0});
  EXPECT_EQ(text(line), "0x0 0xfee00000 0xffffffffffffffff");
}

TEST(GuestLine, AppendsAsMuchOfATextAsItIsTold) {
  Line line;
  line.append("tock=10 tick=10", 7);
  EXPECT_EQ(text(line), "tock=10");
}

TEST(GuestLine, CutsOffWhatDoesNotFit) {
  Line line;
  for (int i = 0; i < 100; ++i) line << "abcdefgh";
  EXPECT_EQ(line.size(), 240U);
  EXPECT_EQ(text(line).substr(232), "abcdefgh");
}

}  // namespace
}  // namespace guest
