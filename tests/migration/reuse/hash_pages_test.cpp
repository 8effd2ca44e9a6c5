#include "migration/reuse/hash_pages.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "migration/base/page_content.hpp"

namespace migration {
namespace {

using vmm::kPageSize;

class PageHashTest : public ::testing::Test {
 protected:
  PageHashTest() { fill({100, 500}); }
  void fill(vmm::PageRange range) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      memory_.pages({page, 1})[page % kPageSize] = static_cast<std::byte>(page % 255 + 1);
    }
  }
  PageHash alone(vmm::PageIndex page) { return PageHasher(key_)(memory_.pages({page, 1})); }

  HashKey key_ = random_hash_key();
  vmm::GuestMemory memory_{16U << 20, vmm::Backing::memfd};
};

TEST_F(PageHashTest, IsThatOfGmac) {
  // NIST's GCM test case 1: no plain text, no associated data, a key and a nonce of zeros.
  const PageHash hash = PageHasher(HashKey{})({});
  constexpr std::array<unsigned, 16> kExpected{0x58, 0xe2, 0xfc, 0xce, 0xfa, 0x7e, 0x30, 0x61,
                                               0x36, 0x7f, 0x1d, 0x57, 0xa4, 0xe7, 0x45, 0x5a};
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(std::to_integer<unsigned>(hash[i]), kExpected[i]);
}

TEST_F(PageHashTest, DiffersWithOneBitOfThePageAndWithTheKey) {
  const PageHash before = alone(100);
  EXPECT_EQ(alone(100), before);
  EXPECT_NE(PageHasher(random_hash_key())(memory_.pages({100, 1})), before);
  std::set<PageHash> seen{before};
  for (std::size_t byte = 0; byte < kPageSize; byte += 13) {
    memory_.pages({100, 1})[byte] ^= std::byte{4};
    EXPECT_TRUE(seen.insert(alone(100)).second) << byte;
    memory_.pages({100, 1})[byte] ^= std::byte{4};
  }
}

TEST_F(PageHashTest, OfManyPagesComeInTheOrderOfThePages) {
  fill({600, 2000});  // more than one thread takes at a time
  vmm::PageSet pages(memory_.page_count());
  pages.set(vmm::PageRange{90, 300});
  pages.set(vmm::PageRange{599, 2000});
  pages.set(memory_.page_count() - 1);
  const std::vector<PageHash> hashes = hash_pages(memory_, pages, pages, key_);
  const std::vector<std::uint64_t> digests = digest_pages(memory_, pages, pages);
  ASSERT_EQ(hashes.size(), 2301U);
  ASSERT_EQ(digests.size(), 2301U);
  std::size_t next = 0;
  for (const vmm::PageRange& range : pages.ranges()) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++next) {
      ASSERT_EQ(hashes[next], alone(page)) << page;
      ASSERT_EQ(digests[next], digest_of(memory_.pages({page, 1}))) << page;
    }
  }
}

TEST_F(PageHashTest, TakesWhatIsNoDataForZeroAndTouchesItNot) {
  vmm::PageSet all(memory_.page_count());
  all.set(vmm::PageRange{0, memory_.page_count()});
  vmm::PageSet data(memory_.page_count());
  data.set(vmm::PageRange{100, 400});
  const std::vector<PageHash> hashes = hash_pages(memory_, all, data, key_);
  EXPECT_EQ(hashes[150], alone(150));
  EXPECT_EQ(hashes[550], hashes[0]);
  const std::array<std::byte, kPageSize> zero{};
  EXPECT_EQ(digest_pages(memory_, all, data)[550], digest_of(zero));
  vmm::PageSet populated(memory_.page_count());
  memory_.add_populated({0, memory_.page_count()}, populated);
  EXPECT_EQ(populated.ranges(), (std::vector<vmm::PageRange>{{100, 500}}));
  EXPECT_EQ(hashes[0], alone(0));
}

TEST_F(PageHashTest, OfNoPagesAreNone) {
  const vmm::PageSet none(memory_.page_count());
  EXPECT_TRUE(hash_pages(memory_, none, none, key_).empty());
}

TEST_F(PageHashTest, OfPagesThatAreReadAreThoseOfTheFile) {
  vmm::GuestMemory copy(memory_.size(), vmm::Backing::memfd);
  vmm::PageSet pages(memory_.page_count());
  pages.set(vmm::PageRange{90, 300});
  pages.set(599);
  const std::vector<std::uint64_t> digests = read_pages(memory_.file(), copy, pages);
  EXPECT_EQ(digests, digest_pages(memory_, pages, pages));
  vmm::PageSet populated(memory_.page_count());
  copy.add_populated({0, memory_.page_count()}, populated);
  EXPECT_EQ(populated.ranges(), (std::vector<vmm::PageRange>{{100, 290}, {599, 1}}));
  EXPECT_EQ(digests, digest_pages(copy, pages, pages));
}

TEST_F(PageHashTest, OfAFileThatCannotBeReadAreAnError) {
  vmm::GuestMemory copy(memory_.size());
  vmm::PageSet pages(memory_.page_count());
  pages.set(100);
  EXPECT_THROW(static_cast<void>(read_pages(-1, copy, pages)), std::system_error);
}

}  // namespace
}  // namespace migration
