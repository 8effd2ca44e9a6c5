#include "vmm/ferry/units.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace ferry {
namespace {

using std::chrono::microseconds;

TEST(Units, ReadsSizesInPowersOf1024) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("16K"), 16U << 10);
  EXPECT_EQ(parse_size("256M"), 256U << 20);
  EXPECT_EQ(parse_size("1.5G"), std::uint64_t{3} << 29);
  EXPECT_EQ(parse_size("64MiB"), 64U << 20);
  EXPECT_EQ(parse_size("2T"), std::uint64_t{2} << 40);
  EXPECT_EQ(parse_size("0"), 0U);
}

TEST(Units, RefusesWhatIsNoSize) {
  for (const char* text : {"", "M", "-1M", "12X", "1 G", "1e3", "nan", "inf", "0x10", "1GG",
                           "99999999999999999999T"}) {
    EXPECT_THROW(static_cast<void>(parse_size(text)), std::invalid_argument) << text;
  }
}

TEST(Units, ReadsDurations) {
  EXPECT_EQ(parse_duration("50ms"), microseconds(50'000));
  EXPECT_EQ(parse_duration("200us"), microseconds(200));
  EXPECT_EQ(parse_duration("1.5s"), microseconds(1'500'000));
  EXPECT_EQ(parse_duration("30"), microseconds(30'000));
  EXPECT_EQ(parse_duration("0"), microseconds(0));
}

TEST(Units, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "ms", "-5ms", "5m", "5 ms", "25h", "100000s"}) {
    EXPECT_THROW(static_cast<void>(parse_duration(text)), std::invalid_argument) << text;
  }
}

TEST(Units, ReadsBandwidthsInBitsAndBytes) {
  EXPECT_EQ(parse_bandwidth("1Gbit"), 125'000'000U);
  EXPECT_EQ(parse_bandwidth("800Mbit"), 100'000'000U);
  EXPECT_EQ(parse_bandwidth("64Kbit"), 8'000U);
  EXPECT_EQ(parse_bandwidth("125MB"), 125'000'000U);
  EXPECT_EQ(parse_bandwidth("2.5GB"), 2'500'000'000U);
  EXPECT_EQ(parse_bandwidth("0"), 0U);
  EXPECT_EQ(parse_bandwidth("unlimited"), 0U);
}

TEST(Units, RefusesABandwidthWithoutAUnitOrOfNothing) {
  for (const char* text : {"", "100", "1gbit", "1Gb", "-1Mbit", "1bit", "0MB"}) {
    EXPECT_THROW(static_cast<void>(parse_bandwidth(text)), std::invalid_argument) << text;
  }
}

TEST(Units, SaysWhatIsWrongAndShowsWhatIsRight) {
  try {
    static_cast<void>(parse_size("lots"));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "'lots' is not a size: write it like 512M or 4G");
  }
}

TEST(Units, WritesQuantitiesForPeople) {
  EXPECT_EQ(format_bytes(12), "12 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(717U << 20), "717.0 MiB");
  EXPECT_EQ(format_bytes(std::uint64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(format_milliseconds(0.851), "0.85 ms");
  EXPECT_EQ(format_milliseconds(1234.4), "1.234 s");
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(131072), "131,072");
  EXPECT_EQ(format_count(1234567), "1,234,567");
}

}  // namespace
}  // namespace ferry
