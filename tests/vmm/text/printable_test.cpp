#include "vmm/text/printable.hpp"

#include <gtest/gtest.h>

#include <string>

namespace vmm {
namespace {

TEST(Printable, LeavesTextAsItIs) {
  for (const char* text : {"", "a b~", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\xa2",
                           "\xc2\xa0", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(printable(text), text);
    EXPECT_TRUE(is_printable(text)) << text;
    EXPECT_TRUE(is_utf8(text)) << text;
  }
}

TEST(Printable, ReplacesControlCharactersOfEveryKind) {
  EXPECT_EQ(printable("a\tb\nc\x1b[2Jd\x7f"), "a?b?c?[2Jd?");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  // U+0080, U+009B (which terminals take for ESC [) and U+009F.
  EXPECT_EQ(printable("\xc2\x80-\xc2\x9b"
                      "31m\xc2\x9f"),
            "?-?31m?");
  EXPECT_FALSE(is_printable("a\tb"));
  EXPECT_FALSE(is_printable("\xc2\x9b"));
  EXPECT_TRUE(is_utf8("a\tb\xc2\x9b"));
}

TEST(Printable, KeepsTheControlCharactersThatAreAskedFor) {
  EXPECT_EQ(printable("a\nb\tc", "\n"), "a\nb?c");
}

TEST(Printable, ReplacesEachByteThatIsNotUtf8) {
  EXPECT_EQ(printable("caf\xe9"), "caf?");
  EXPECT_EQ(printable("\x80\xff"), "??");
  EXPECT_EQ(printable("\xe2\x82"), "??");             // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "??");             // overlong
  EXPECT_EQ(printable("\xe0\x9f\xbf"), "???");        // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");        // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");   // beyond U+10FFFF
  EXPECT_EQ(printable("\x9b\xc3\xa9"), "?\xc3\xa9");  // a C1 byte of another encoding
  EXPECT_EQ(printable("\xf0\x9f\x9a z"), "??? z");
  EXPECT_FALSE(is_printable("caf\xe9"));
  EXPECT_FALSE(is_utf8("caf\xe9"));
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(start_of("abc", 3), "abc");
  EXPECT_EQ(start_of("abcd", 3), "abc");
  EXPECT_EQ(start_of("ab\xc3\xa9", 3), "ab");
  EXPECT_EQ(start_of("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(start_of("\xf0\x9f\x9a\xa2", 3), "");
  EXPECT_EQ(start_of("\xf0\x9f\x9a\xa2z", 4), "\xf0\x9f\x9a\xa2");
  EXPECT_EQ(start_of("\x80\x80\x80\x80\x80\x80\x80", 5).size(), 5U);  // no characters at all
  EXPECT_EQ(start_of("abc", 0), "");
}

}  // namespace
}  // namespace vmm
