#include "migration/base/address.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

std::string error_of(std::string_view text) {
  try {
    static_cast<void>(parse_address(text));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Address, IsParsedAndPrintedBack) {
  for (const char* text : {"tcp:127.0.0.1:4444", "tcp:[::1]:0", "tcp:host.example:65535",
                           "unix:/run/ferry.sock", "unix:with:colons"}) {
    EXPECT_EQ(to_string(parse_address(text)), text);
  }
}

TEST(Address, SaysWhatIsWrong) {
  EXPECT_NE(error_of("127.0.0.1:1").find("unknown kind"), std::string::npos);
  EXPECT_NE(error_of("tcp:localhost").find("no port"), std::string::npos);
  EXPECT_NE(error_of("tcp:[::1]").find("no port"), std::string::npos);
  EXPECT_NE(error_of("tcp://host:1").find("no URL"), std::string::npos);
  EXPECT_NE(error_of("tcp::99").find("no host"), std::string::npos);
  EXPECT_NE(error_of("tcp:h:65536").find("port is not a number"), std::string::npos);
  EXPECT_NE(error_of("tcp:h:").find("port is not a number"), std::string::npos);
  EXPECT_NE(error_of("tcp:h:12x").find("port is not a number"), std::string::npos);
  EXPECT_NE(error_of("tcp:::1:80").find("brackets"), std::string::npos);
  EXPECT_NE(error_of("unix:").find("path is empty"), std::string::npos);
  EXPECT_NE(error_of("unix:" + std::string(200, 'x')).find("shorter"), std::string::npos);
}

TEST(Address, HasNoZeroByte) {
  EXPECT_NE(error_of(std::string_view("unix:/a\0b", 9)).find("zero byte"), std::string::npos);
  EXPECT_NE(error_of(std::string_view("tcp:h\0x:1", 9)).find("zero byte"), std::string::npos);
}

TEST(Address, ToDialIsOneThatCanBe) {
  for (const char* text : {"tcp:127.0.0.1:4444", "tcp:[::1]:1", "tcp:host:7000", "unix:/run/b"}) {
    EXPECT_EQ(to_string(parse_destination(text)), text);
  }
  const auto refusal = [](const char* text) -> std::string {
    try {
      static_cast<void>(parse_destination(text));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  for (const char* text : {"tcp:0.0.0.0:7000", "tcp:[::]:7000", "tcp:0:7000", "tcp:0x0:7000",
                           "tcp:[0:0::0]:7000", "tcp:[::ffff:0.0.0.0]:7000", "tcp:[::%lo]:7000"}) {
    EXPECT_NE(refusal(text).find("listening on all"), std::string::npos) << text;
  }
  EXPECT_NE(refusal("tcp:127.0.0.1:0").find("port 0"), std::string::npos);
  EXPECT_NE(refusal("tcp:host").find("no port"), std::string::npos);
}

}  // namespace
}  // namespace migration
