#include "ferry/units.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace ferry {
namespace {

using std::chrono::microseconds;

template <typename Value>
std::string parser_refusal(Value (*parse)(std::string_view), std::string_view text) {
  try {
    static_cast<void>(parse(text));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(Units, ReadsSizesInPowersOf1024) {
  EXPECT_EQ(parse_size("1073741824"), 1U << 30);
  EXPECT_EQ(parse_size("4096B"), 4096U);
  EXPECT_EQ(parse_size("16K"), 16U << 10);
  EXPECT_EQ(parse_size("1.5G"), std::uint64_t{3} << 29);
  EXPECT_EQ(parse_size("2T"), std::uint64_t{2} << 40);
  EXPECT_EQ(parse_size("0"), 0U);
}

TEST(Units, ReadsEverySpellingOfASizeAlike) {
  for (const char* unit : {"M", "m", "MB", "MiB", "Mi", "mb", "mib", "mi", "MIB", "Mb"}) {
    EXPECT_EQ(parse_size(std::string("512") + unit), 512U << 20) << unit;
  }
  for (const char* unit : {"K", "k", "KB", "kB", "KiB", "Ki", "kb"}) {
    EXPECT_EQ(parse_size(std::string("3") + unit), 3U << 10) << unit;
  }
  for (const char* unit : {"G", "g", "GB", "GiB", "Gi", "gb"}) {
    EXPECT_EQ(parse_size(std::string("2") + unit), 2U << 30) << unit;
  }
  for (const char* unit : {"T", "t", "TB", "TiB", "Ti", "tb"}) {
    EXPECT_EQ(parse_size(std::string("1") + unit), std::uint64_t{1} << 40) << unit;
  }
}

TEST(Units, RefusesWhatIsNoSize) {
  for (const char* text : {"", "M", "-1M", "12X", "1 G", "1e3", "nan", "inf", "0x10", "1GG", "1i",
                           "1iB", "1MiBi", "1Mbit", "1M/s", "+1M", "99999999999999999999T"}) {
    EXPECT_NE(parser_refusal(&parse_size, text), "") << text;
  }
}

TEST(Units, AsksWhetherASmallNumberIsMebibytes) {
  for (const char* text : {"512", "4096", "16", "1048575", "0.5"}) {
    EXPECT_NE(parser_refusal(&parse_size, text).find(std::string("did you mean ") + text + "M?"),
              std::string::npos)
        << text;
  }
  EXPECT_EQ(parse_size("1048576"), 1U << 20);
}

TEST(Units, ReadsDurations) {
  EXPECT_EQ(parse_duration("50ms"), microseconds(50'000));
  EXPECT_EQ(parse_duration("200us"), microseconds(200));
  EXPECT_EQ(parse_duration("1.5s"), microseconds(1'500'000));
  EXPECT_EQ(parse_duration("1m"), std::chrono::minutes(1));
  EXPECT_EQ(parse_duration("2min"), std::chrono::minutes(2));
  EXPECT_EQ(parse_duration("1h"), std::chrono::hours(1));
  EXPECT_EQ(parse_duration("24h"), std::chrono::hours(24));
  EXPECT_EQ(parse_duration("50MS"), microseconds(50'000));
  EXPECT_EQ(parse_duration("0"), microseconds(0));
}

TEST(Units, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "ms", "-5ms", "5x", "5 ms", "25h", "100000s", "1d", "nan", "1e3s"}) {
    EXPECT_NE(parser_refusal(&parse_duration, text), "") << text;
  }
}

TEST(Units, AsksWhichUnitADurationIsIn) {
  EXPECT_NE(parser_refusal(&parse_duration, "30").find("did you mean 30ms or 30s?"),
            std::string::npos);
}

TEST(Units, ReadsBandwidthsInBitsAndBytes) {
  for (const char* text : {"1Gbit", "1gbit", "1GBit", "1Gbps", "1gbps", "1Gbit/s", "1Gb/s",
                           "1000Mbit", "125MB", "125mB", "125MB/s", "125MBps", "0.125GB"}) {
    EXPECT_EQ(parse_bandwidth(text), 125'000'000U) << text;
  }
  EXPECT_EQ(parse_bandwidth("800Mbit"), 100'000'000U);
  EXPECT_EQ(parse_bandwidth("64Kbit"), 8'000U);
  EXPECT_EQ(parse_bandwidth("2.5GB"), 2'500'000'000U);
  EXPECT_EQ(parse_bandwidth("1TB"), 1'000'000'000'000U);
  EXPECT_EQ(parse_bandwidth("2MiB/s"), 2U << 20);
  EXPECT_EQ(parse_bandwidth("8bit"), 1U);
  EXPECT_EQ(parse_bandwidth("0"), 0U);
  EXPECT_EQ(parse_bandwidth("unlimited"), 0U);
}

TEST(Units, RefusesWhatIsNoBandwidth) {
  for (const char* text : {"", "-1Mbit", "1Xbit", "fast", "1Gbit/h", "1e9B", "2000TB", "nan"}) {
    EXPECT_NE(parser_refusal(&parse_bandwidth, text), "") << text;
  }
}

TEST(Units, RefusesABandwidthOfNothing) {
  for (const char* text : {"1bit", "7bit", "0MB", "0bit", "0.9B", "0.000000001B"}) {
    EXPECT_NE(parser_refusal(&parse_bandwidth, text).find("less than a byte"), std::string::npos)
        << text;
  }
}

TEST(Units, AsksWhetherABandwidthIsInBitsOrBytes) {
  EXPECT_NE(parser_refusal(&parse_bandwidth, "100").find("100Mbit or 100MB"), std::string::npos);
  EXPECT_NE(parser_refusal(&parse_bandwidth, "1G").find("1Gbit or 1GB"), std::string::npos);
  EXPECT_NE(parser_refusal(&parse_bandwidth, "125mb").find("125mbit or 125mB"), std::string::npos);
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
