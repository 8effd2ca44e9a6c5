#include "migration/base/page_content.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <string_view>

namespace migration {
namespace {

using Page = std::array<std::byte, 4096>;

Page repeated(std::string_view text) {
  Page page{};
  for (std::size_t i = 0; i < page.size(); ++i) {
    page[i] = static_cast<std::byte>(text[i % text.size()]);
  }
  return page;
}

Page random_page() {
  Page page{};
  std::mt19937 random(1);  // NOLINT: the same bytes each time
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  return page;
}

TEST(PageContent, AFreshPageIsZero) { EXPECT_TRUE(is_zero(Page{})); }

TEST(PageContent, OneBitAnywhereMakesAPageNotZero) {
  for (const std::size_t at : {0U, 1U, 63U, 64U, 2048U, 4032U, 4095U}) {
    Page page{};
    page.at(at) = std::byte{0x80};
    EXPECT_FALSE(is_zero(page)) << at;
  }
}

TEST(PageContent, TextLooksCompressible) {
  EXPECT_TRUE(looks_compressible(repeated("the quick brown fox jumps over the lazy dog\n")));
}

TEST(PageContent, AnAlmostEmptyPageLooksCompressible) {
  Page page{};
  page.front() = std::byte{1};
  EXPECT_TRUE(looks_compressible(page));
}

TEST(PageContent, SmallNumbersLookCompressible) {
  Page page{};
  for (std::uint32_t i = 0; i < page.size() / 4; ++i) {
    std::memcpy(&page[std::size_t{i} * 4], &i, sizeof(i));
  }
  EXPECT_TRUE(looks_compressible(page));
}

TEST(PageContent, RandomBytesDoNotLookCompressible) {
  EXPECT_FALSE(looks_compressible(random_page()));
}

}  // namespace
}  // namespace migration
