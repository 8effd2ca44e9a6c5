#include "migration/reuse/page_hash.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <system_error>

namespace migration {
namespace {

using vmm::kPageSize;

class PageHashTest : public ::testing::Test {
 protected:
  PageHashTest() {
    for (vmm::PageIndex page = 100; page < 600; ++page) {
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
  vmm::DirtyBitmap pages(memory_.page_count());
  pages.set(vmm::PageRange{90, 300});
  pages.set(599);
  pages.set(memory_.page_count() - 1);
  const std::vector<PageHash> hashes = hash_pages(memory_, pages, key_);
  const std::vector<PageHash> of_file = hash_pages(memory_.file(), pages, key_);
  ASSERT_EQ(hashes.size(), 302U);
  EXPECT_EQ(of_file, hashes);
  std::size_t next = 0;
  for (const vmm::PageRange& range : pages.ranges()) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      ASSERT_EQ(hashes[next++], alone(page)) << page;
    }
  }
}

TEST_F(PageHashTest, TouchesNoPage) {
  vmm::DirtyBitmap all(memory_.page_count());
  all.set(vmm::PageRange{0, memory_.page_count()});
  static_cast<void>(hash_pages(memory_, all, key_));
  static_cast<void>(hash_pages(memory_.file(), all, key_));
  vmm::DirtyBitmap populated(memory_.page_count());
  memory_.add_populated({0, memory_.page_count()}, populated);
  EXPECT_EQ(populated.ranges(), (std::vector<vmm::PageRange>{{100, 500}}));
}

TEST_F(PageHashTest, OfNoPagesAreNone) {
  EXPECT_TRUE(hash_pages(memory_, vmm::DirtyBitmap(memory_.page_count()), key_).empty());
}

TEST_F(PageHashTest, OfAFileThatCannotBeReadAreAnError) {
  vmm::DirtyBitmap pages(memory_.page_count());
  pages.set(100);
  EXPECT_THROW(static_cast<void>(hash_pages(-1, pages, key_)), std::system_error);
}

}  // namespace
}  // namespace migration
