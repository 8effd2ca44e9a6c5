#include "vmm/text/json_text.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace vmm {
namespace {

using nlohmann::json;

TEST(JsonText, IsJsonWhateverIsInIt) {
  const json value = {{"name", "caf\xe9"}, {"cut", "\xe2\x82"}, {"control", "\n\t\"\x7f\xc2\x9b"}};
  for (const int indent : {-1, 2}) {
    const json back = json::parse(json_text(value, indent));
    EXPECT_EQ(back.at("name"), "caf\xef\xbf\xbd");
    EXPECT_EQ(back.at("control"), value.at("control"));
  }
}

TEST(JsonText, IsOneLineUnlessItIsIndented) {
  EXPECT_EQ(json_text({{"a", "b\nc"}}), R"({"a":"b\nc"})");
  EXPECT_EQ(json_text({{"a", 1}}, 2), "{\n  \"a\": 1\n}");
}

TEST(JsonText, IsReadWithABoundedDepth) {
  EXPECT_EQ(parse_json(R"({"a":[1,{"b":null}]})").at("a").at(0), 1);
  EXPECT_TRUE(parse_json("").is_discarded());
  EXPECT_TRUE(parse_json("{").is_discarded());
  EXPECT_TRUE(parse_json("{\"a\":\"\xff\"}").is_discarded());
  EXPECT_TRUE(parse_json("{\"a\":1e999}").is_discarded());
  EXPECT_TRUE(parse_json(std::string(100'000, '[')).is_discarded());
  const std::string nested = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_TRUE(parse_json(nested).is_discarded());
  EXPECT_TRUE(parse_json("{\"state\":\"running\",\"more\":" + nested + "}").is_discarded());
}

}  // namespace
}  // namespace vmm
