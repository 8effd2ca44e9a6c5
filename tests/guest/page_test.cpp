#include "guest/workload/page.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace guest {
namespace {

constexpr std::uint32_t kGeneration = 7;

std::string name_of(const testing::TestParamInfo<PageKind>& kind) {
  if (kind.param == PageKind::zero) return "Zero";
  return kind.param == PageKind::random ? "Random" : "Text";
}

class GuestPage : public testing::TestWithParam<PageKind> {
 protected:
  struct alignas(4096) Page {
    std::array<std::uint64_t, 512> words;
  };

  static std::uint64_t address(const Page& page) {
    return reinterpret_cast<std::uint64_t>(page.words.data());
  }
  PageVerdict verify(std::uint32_t generation = kGeneration) const {
    return verify_page(address(page_), GetParam(), generation);
  }

  void SetUp() override { fill_page(address(page_), GetParam(), kGeneration); }

  Page page_{};
  Page other_{};
  Random random_{1};
};

class FilledGuestPage : public GuestPage {};

TEST_P(GuestPage, IsWholeAfterItWasFilled) { EXPECT_EQ(verify().fault, PageFault::none); }

TEST_P(GuestPage, IsTornWhenAnyWordChanges) {
  for (std::size_t i = 3; i < page_.words.size(); ++i) {
    page_.words[i] ^= 1;
    EXPECT_EQ(verify().fault, PageFault::torn) << i;
    page_.words[i] ^= 1;
  }
}

TEST_P(GuestPage, BeginsWithItsAddressUnlessItIsZero) {
  const bool zero = GetParam() == PageKind::zero;
  EXPECT_EQ(peek_page(address(page_)), zero ? 0 : address(page_));
}

TEST_P(FilledGuestPage, IsLostWhenItHoldsAnotherOrZeros) {
  fill_page(address(other_), GetParam(), kGeneration);
  std::memcpy(&page_, &other_, sizeof page_);
  EXPECT_EQ(verify().fault, PageFault::lost);
  page_.words.fill(0);
  EXPECT_EQ(verify().fault, PageFault::lost);
}

TEST_P(FilledGuestPage, IsStaleWhenItIsOfAnotherGeneration) {
  const PageVerdict verdict = verify(kGeneration + 1);
  EXPECT_EQ(verdict.fault, PageFault::stale);
  EXPECT_EQ(verdict.got, kGeneration);
  EXPECT_EQ(verdict.want, kGeneration + 1);
}

TEST_P(FilledGuestPage, IsTornWhenWordsChangePlaces) {
  std::swap(page_.words[10], page_.words[11]);
  ASSERT_NE(page_.words[10], page_.words[11]);
  EXPECT_EQ(verify().fault, PageFault::torn);
}

TEST_P(FilledGuestPage, IsTornWhenHalfOfItIsOlder) {
  std::memcpy(&other_, &page_, sizeof page_);
  for (std::uint32_t i = 0; i < 20; ++i) {
    ASSERT_EQ(touch_page(address(page_), GetParam(), kGeneration + i, random_).fault,
              PageFault::none);
  }
  std::memcpy(&page_.words[256], &other_.words[256], sizeof page_ / 2);
  EXPECT_EQ(verify(kGeneration + 20).fault, PageFault::torn);
}

TEST_P(FilledGuestPage, IsWholeAndOneGenerationOnAfterAWrite) {
  for (std::uint32_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(touch_page(address(page_), GetParam(), kGeneration + i, random_).fault,
              PageFault::none);
    ASSERT_EQ(verify(kGeneration + i + 1).fault, PageFault::none);
  }
}

TEST_P(FilledGuestPage, IsOfTheSameGenerationAfterAWriteInOnePlace) {
  const Page before = page_;
  ASSERT_EQ(touch_page(address(page_), GetParam(), kGeneration, random_, PageWrite::block).fault,
            PageFault::none);
  EXPECT_EQ(verify().fault, PageFault::none);
  EXPECT_EQ(std::memcmp(&page_.words[0], &before.words[0], 16), 0);
  EXPECT_NE(std::memcmp(&page_.words[2], &before.words[2], 64), 0);
  EXPECT_EQ(std::memcmp(&page_.words[10], &before.words[10], sizeof page_ - 80), 0);
}

TEST_P(FilledGuestPage, RefusesAWriteThatWouldHideDamage) {
  EXPECT_EQ(touch_page(address(page_), GetParam(), kGeneration + 1, random_).fault,
            PageFault::stale);
  page_.words.fill(0);
  EXPECT_EQ(touch_page(address(page_), GetParam(), kGeneration, random_).fault, PageFault::lost);
}

TEST_P(FilledGuestPage, MayStandForAnotherAddress) {
  constexpr std::uint64_t kName = 0x5000;
  fill_page_as(kName, address(page_), GetParam(), kGeneration);
  EXPECT_EQ(peek_page(address(page_)), kName);
  EXPECT_EQ(verify_page_as(kName, address(page_), GetParam(), kGeneration).fault, PageFault::none);
  EXPECT_EQ(verify_page_as(kName, address(page_), GetParam(), kGeneration + 1).fault,
            PageFault::stale);
  EXPECT_EQ(verify_page_as(kName + 4096, address(page_), GetParam(), kGeneration).fault,
            PageFault::lost);
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, GuestPage,
                         testing::Values(PageKind::zero, PageKind::random, PageKind::text),
                         name_of);
INSTANTIATE_TEST_SUITE_P(OfEachKind, FilledGuestPage,
                         testing::Values(PageKind::random, PageKind::text), name_of);

}  // namespace
}  // namespace guest
