#include "migration/policy/free_page_wait.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

using namespace std::chrono_literals;
using Heard = FreePageWait::Heard;

/// Pages that go over the link in one window.
constexpr std::uint64_t pages_in_a_window(std::uint64_t bytes_per_second) {
  return bytes_per_second * FreePageWait::kWindow.count() / 1000 / 4096;
}
constexpr std::uint64_t kPaying = pages_in_a_window(FreePageWait::kLinkRate) + 1;

TEST(FreePageWait, EndsSoonForAGuestThatDoesNotTakeItUp) {
  FreePageWait wait(0);
  EXPECT_TRUE(wait.goes_on(0ms, {}));
  EXPECT_TRUE(wait.goes_on(FreePageWait::kTakesUp - 1ms, {}));
  EXPECT_FALSE(wait.goes_on(FreePageWait::kTakesUp, {}));
}

TEST(FreePageWait, EndsWhenTheGuestHasToldAll) {
  FreePageWait wait(0);
  EXPECT_TRUE(wait.goes_on(1ms, {.begun = true}));
  EXPECT_FALSE(wait.goes_on(2ms, {.begun = true, .over = true, .pages = 5}));
}

TEST(FreePageWait, EndsForAGuestThatGrowsByIt) {
  Heard heard{.begun = true, .pages = kPaying, .grown = FreePageWait::kMostGrown};
  FreePageWait wait(0);
  EXPECT_TRUE(wait.goes_on(1ms, heard));
  ++heard.grown;
  EXPECT_FALSE(wait.goes_on(2ms, heard));
}

TEST(FreePageWait, EndsForAGuestThatNamesPagesAgainAndAgain) {
  constexpr std::uint64_t kMost = FreePageWait::kMostTimesNamed * 1000;
  FreePageWait wait(0);
  EXPECT_TRUE(wait.goes_on(1ms, {.begun = true, .named = kMost, .ram = 1000}));
  EXPECT_FALSE(wait.goes_on(2ms, {.begun = true, .named = kMost + 1, .ram = 1000}));
}

TEST(FreePageWait, EndsWhenTheHostCannotTellWhatItCosts) {
  FreePageWait wait(0);
  EXPECT_FALSE(wait.goes_on(1ms, {.begun = true, .failed = true}));
}

TEST(FreePageWait, GoesOnWhileTheGuestNamesPagesFasterThanTheyWouldBeSent) {
  FreePageWait wait(0);
  Heard heard{.begun = true};
  auto now = 5ms;
  EXPECT_TRUE(wait.goes_on(now, heard));
  for (int window = 0; window < 100; ++window) {
    now += FreePageWait::kWindow;
    heard.pages += kPaying;
    EXPECT_TRUE(wait.goes_on(now - 1ms, heard)) << "within a window nothing is known";
    EXPECT_TRUE(wait.goes_on(now, heard)) << window;
  }
  now += FreePageWait::kWindow;
  heard.pages += kPaying - 2;
  EXPECT_FALSE(wait.goes_on(now, heard));
}

TEST(FreePageWait, GoesByTheCapWhereThereIsOne) {
  constexpr std::uint64_t kCap = 500'000'000;
  const Heard heard{.begun = true, .pages = pages_in_a_window(kCap) + 1};
  for (const std::uint64_t cap : {kCap, std::uint64_t{0}}) {
    FreePageWait wait(cap);
    EXPECT_TRUE(wait.goes_on(0ms, {.begun = true}));
    EXPECT_EQ(wait.goes_on(FreePageWait::kWindow, heard), cap == kCap);
  }
}

// Of a guest that clears blocks before it names them, a short window may see none.
TEST(FreePageWait, LooksLongerAtAGuestWhereTheLinkIsSlow) {
  constexpr std::uint64_t kBlockPages = FreePageWait::kTwoBlocks / 2 / 4096;
  FreePageWait wait(FreePageWait::kTwoBlocks);  // a window of a second
  EXPECT_TRUE(wait.goes_on(0ms, {.begun = true}));
  EXPECT_TRUE(wait.goes_on(900ms, {.begun = true}));
  EXPECT_TRUE(wait.goes_on(1s, {.begun = true, .pages = 2 * kBlockPages}));
  EXPECT_FALSE(wait.goes_on(2s, {.begun = true, .pages = 3 * kBlockPages}));
}

}  // namespace
}  // namespace migration
