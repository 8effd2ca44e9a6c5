#include "ferry/console.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <string_view>

#include "ferry/terminal.hpp"

namespace ferry {
namespace {

/// What of the typed text reaches the guest; a '!' at the end when Ferry is to quit, and a '?' when
/// it is to help.
std::string typed(EscapeKeys& keys, std::string text) {
  const auto [bytes, quit, help] = keys.filter(std::as_writable_bytes(std::span(text)));
  text.resize(bytes);
  return text + (quit ? "!" : "") + (help ? "?" : "");
}

std::string typed(const std::string& text) {
  EscapeKeys keys;
  return typed(keys, text);
}

TEST(EscapeKeys, LetOrdinaryKeysPass) {
  EXPECT_EQ(typed("hello\r\x03\x1b[A"), "hello\r\x03\x1b[A");
  EXPECT_EQ(typed(""), "");
}

TEST(EscapeKeys, QuitByCtrlAX) {
  EXPECT_EQ(typed("ab\x01xcd"), "ab!");
  EXPECT_EQ(typed("\x01X"), "!");
}

TEST(EscapeKeys, HelpByCtrlAH) {
  EXPECT_EQ(typed("ab\x01hcd"), "abcd?");
  EXPECT_EQ(typed("\x01H"), "?");
}

TEST(EscapeKeys, SendCtrlAWhenItIsTypedTwice) { EXPECT_EQ(typed("a\x01\x01z"), "a\x01z"); }

TEST(EscapeKeys, DropCtrlABeforeAnyOtherKey) { EXPECT_EQ(typed("a\x01z"), "az"); }

TEST(EscapeKeys, RememberCtrlABetweenReads) {
  EscapeKeys keys;
  EXPECT_EQ(typed(keys, "a\x01"), "a");
  EXPECT_EQ(typed(keys, "x"), "!");
}

TEST(SerialChoice, IsStdioNullOrAFile) {
  EXPECT_EQ(parse_serial("stdio").kind, SerialChoice::Kind::stdio);
  EXPECT_EQ(parse_serial("null").kind, SerialChoice::Kind::null);
  EXPECT_EQ(parse_serial("file:/tmp/a").path, "/tmp/a");
  for (const char* text : {"", "file:", "file", "tty", "Stdio"}) {
    EXPECT_THROW(static_cast<void>(parse_serial(text)), std::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace ferry
