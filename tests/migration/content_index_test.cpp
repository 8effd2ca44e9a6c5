#include "migration/reuse/content_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace migration {
namespace {

using Match = ContentIndex::Match;

constexpr std::uint64_t kIndexedPages = 300;

/// Of content number `content`, in every bucket alike.
PageHash hash_of(std::uint64_t content) {
  std::mt19937_64 random(content);
  PageHash hash{};
  for (std::byte& byte : hash) byte = static_cast<std::byte>(random());
  return hash;
}

vmm::PageSet pages(const std::vector<vmm::PageRange>& ranges) {
  vmm::PageSet bitmap(kIndexedPages);
  for (const vmm::PageRange& range : ranges) bitmap.set(range);
  return bitmap;
}

void expect_place(const ContentIndex& index, vmm::PageIndex page, std::uint64_t content,
                  Match match, vmm::PageIndex there) {
  const ContentIndex::Place place = index.find(page, hash_of(content));
  EXPECT_EQ(place.match, match) << page << " " << content;
  EXPECT_EQ(place.page, there) << page << " " << content;
}

TEST(ContentIndex, TellsWhatIsTheSameWhatIsElsewhereAndWhatIsNowhere) {
  // Over the edges of words of the bitmap.
  const ContentIndex index(HeldHashes(pages({{5, 1}, {63, 2}, {299, 1}}),
                                      {hash_of(5), hash_of(63), hash_of(64), hash_of(299)}));
  for (const vmm::PageIndex page : {5U, 63U, 64U, 299U}) {
    expect_place(index, page, page, Match::same, page);
    expect_place(index, page == 5 ? 63 : 5, page, Match::elsewhere, page);
    expect_place(index, 100, page, Match::elsewhere, page);  // a page that is not held
    expect_place(index, page, 1, Match::none, 0);
  }
}

TEST(ContentIndex, PrefersTheSamePageAndThenTheLowest) {
  const ContentIndex index(
      HeldHashes(pages({{10, 4}}), {hash_of(2), hash_of(1), hash_of(1), hash_of(1)}));
  expect_place(index, 13, 1, Match::same, 13);
  expect_place(index, 10, 1, Match::elsewhere, 11);
  expect_place(index, 200, 1, Match::elsewhere, 11);
}

TEST(ContentIndex, ComparesAllOfTheHash) {
  for (std::size_t byte = 0; byte < sizeof(PageHash); ++byte) {
    PageHash other = hash_of(1);
    other.at(byte) ^= std::byte{1};
    const ContentIndex index(HeldHashes(pages({{0, 2}}), {hash_of(1), other}));
    EXPECT_EQ(index.find(0, other).page, 1U) << byte;
    EXPECT_EQ(index.find(1, hash_of(1)).page, 0U) << byte;
    other.at(byte) ^= std::byte{2};
    EXPECT_EQ(index.find(0, other).match, Match::none) << byte;
  }
}

TEST(ContentIndex, OfNothingHasNothing) {
  const ContentIndex index(HeldHashes(pages({}), {}));
  expect_place(index, 0, 1, Match::none, 0);
}

TEST(ContentIndex, AgreesWithALookAtAllPages) {
  std::mt19937_64 random(1);
  for (int run = 0; run < 30; ++run) {
    vmm::PageSet held(kIndexedPages);
    std::vector<PageHash> hashes;
    std::map<vmm::PageIndex, std::uint64_t> content_of;
    const std::uint64_t contents = run % 3 == 0 ? 10 : 1000;
    for (vmm::PageIndex page = 0; page < kIndexedPages; ++page) {
      if (random() % 4 == 0) continue;
      held.set(page);
      content_of[page] = random() % contents;
      hashes.push_back(hash_of(content_of[page]));
    }
    const ContentIndex index(HeldHashes(held, hashes));
    for (vmm::PageIndex page = 0; page < kIndexedPages; ++page) {
      const std::uint64_t content = random() % contents;
      const auto own = content_of.find(page);
      if (own != content_of.end() && own->second == content) {
        expect_place(index, page, content, Match::same, page);
        continue;
      }
      const auto first = std::ranges::find(content_of, content,
                                           &std::pair<const vmm::PageIndex, std::uint64_t>::second);
      if (first == content_of.end()) {
        expect_place(index, page, content, Match::none, 0);
      } else {
        expect_place(index, page, content, Match::elsewhere, first->first);
      }
    }
  }
}

TEST(ContentIndex, FindsItsWayThroughHashesThatAllBeginAlike) {
  vmm::PageSet held(kIndexedPages);
  held.set(vmm::PageRange{0, kIndexedPages});
  std::vector<PageHash> hashes(kIndexedPages);
  for (std::size_t i = 0; i < kIndexedPages; ++i) {
    hashes[i][14] = static_cast<std::byte>(i >> 8);
    hashes[i][15] = static_cast<std::byte>(i);
  }
  const ContentIndex index(HeldHashes(held, hashes));
  for (vmm::PageIndex page = 0; page < kIndexedPages; ++page) {
    const vmm::PageIndex other = (page + 1) % kIndexedPages;
    EXPECT_EQ(index.find(page, hashes[page]).match, Match::same);
    EXPECT_EQ(index.find(page, hashes[other]).page, other);
  }
}

}  // namespace
}  // namespace migration
