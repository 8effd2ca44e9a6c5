#include "migration/postcopy/page_installer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "migration/base/page_content.hpp"
#include "migration/pages/huge_block.hpp"
#include "migration/wire/format.hpp"
#include "tests/migration/missing_pages_fixture.hpp"

namespace migration {
namespace {

/// Pages that come over the page channels.
class InstallingPages : public PageInstalling {
 protected:
  void expect_page(vmm::PageIndex page, int value) {
    EXPECT_TRUE(std::ranges::equal(memory_.pages({page, 1}), vmm::pages_of(value))) << page;
  }
  std::string refusal(vmm::PageRange range, const std::vector<std::byte>& data,
                      const std::vector<std::uint64_t>& digests = {}) {
    try {
      install(range, data, digests);
    } catch (const wire::ProtocolError& error) {
      return error.what();
    }
    return "installed";
  }
  /// A block of RAM of which the first `pages` pages hold their number + 1.
  std::span<std::byte> block_of(std::uint64_t pages) {
    const auto block = block_.zeroed();
    for (std::uint64_t page = 0; page < pages; ++page) {
      std::memset(block.data() + page * vmm::kPageSize, static_cast<int>((page + 1) & 0x7f),
                  vmm::kPageSize);
    }
    return block;
  }

  HugeBlock block_;
};

TEST_F(InstallingPages, LetsGoWhoWaitsForOneOfThem) {
  make();
  vmm::Reader& reader = read(5);
  EXPECT_EQ(vmm::next_fault(*userfault_), memory_.pages({5, 1}).data());
  EXPECT_EQ(missing_->wait_for(5), MissingPages::Wait::first);
  install({4, 3}, vmm::pages_of(42, 3));
  EXPECT_EQ(reader.value(), std::byte{42});
  EXPECT_EQ(missing_->count(), memory_.page_count() - 3);
  EXPECT_EQ(missing_->latencies().count(), 1U);
  expect_page(4, 42);
  expect_page(6, 42);
}

TEST_F(InstallingPages, LetsGoWhoWaitsForAZeroPage) {
  make();
  vmm::Reader& reader = read(5);
  EXPECT_EQ(vmm::next_fault(*userfault_), memory_.pages({5, 1}).data());
  EXPECT_EQ(missing_->wait_for(5), MissingPages::Wait::first);
  install_zero({0, 100});
  EXPECT_EQ(reader.value(), std::byte{0});
  EXPECT_EQ(missing_->count(), memory_.page_count() - 100);
}

TEST_F(InstallingPages, InstallsAZeroPageOnceItIsTouched) {
  make();
  install_zero({0, 100});
  vmm::Reader& reader = read(6);
  EXPECT_EQ(vmm::next_fault(*userfault_), memory_.pages({6, 1}).data());
  EXPECT_EQ(missing_->wait_for(6), MissingPages::Wait::none);
  EXPECT_TRUE(reader.waits());
  installer_->resolve_zero(6);
  EXPECT_EQ(reader.value(), std::byte{0});
}

TEST_F(InstallingPages, TellsOfTheLastPageOnce) {
  make({{4, 3}});
  install_zero({4, 1});
  install({5, 1}, vmm::pages_of(42));
  EXPECT_EQ(all_here_, 0);
  install({6, 1}, vmm::pages_of(43));
  EXPECT_EQ(all_here_, 1);
  EXPECT_FALSE(installer_->finished());
  EXPECT_TRUE(installer_->finish());
  EXPECT_TRUE(installer_->finished());
  expect_page(4, 0);  // nobody has to serve that
  expect_page(5, 42);
}

TEST_F(InstallingPages, RefusesAPageThatIsHereAlready) {
  make();
  install({5, 1}, vmm::pages_of(42));
  EXPECT_NE(refusal({4, 2}, vmm::pages_of(43, 2)).find("pages 4+2, of which some are here already"),
            std::string::npos);
  EXPECT_THROW(install_zero({5, 1}), wire::ProtocolError);
  expect_page(5, 42);
}

TEST_F(InstallingPages, ComparesEachPageWithItsDigest) {
  make({{0, 10}}, true);
  EXPECT_TRUE(installer_->digests());
  auto pages = vmm::pages_of(42, 2);
  std::ranges::fill(std::span(pages).subspan(vmm::kPageSize), std::byte{43});
  const std::uint64_t one = digest_of(vmm::pages_of(42)), two = digest_of(vmm::pages_of(43));
  EXPECT_NE(refusal({4, 2}, pages, {one, one}).find("0x5000 differs from its digest"),
            std::string::npos);
  EXPECT_EQ(missing_->count(), 10U);
  EXPECT_EQ(refusal({4, 2}, pages, {one, two}), "installed");
  expect_page(4, 42);
  expect_page(5, 43);
}

TEST_F(InstallingPages, InstallsABlockWithTheZeroPagesInBetween) {
  make({{512, 300}, {2000, 1}});
  const vmm::PageRange range{512, 300};
  static_cast<void>(installer_->install_block(512, {&range, 1}, block_of(300), {}));
  EXPECT_EQ(missing_->count(), 1U);
  for (std::uint64_t page = 0; page < 300; ++page) {
    expect_page(512 + page, static_cast<int>((page + 1) & 0x7f));
  }
  // As part of a huge page, or as nobody waits for it any more.
  install({2000, 1}, vmm::pages_of(1));
  EXPECT_TRUE(installer_->finish());
  expect_page(512 + 300, 0);
}

TEST_F(InstallingPages, InstallsABlockAroundPagesThatAreThere) {
  make({{512, 512}, {2000, 1}});
  install({612, 1}, vmm::pages_of(99));
  const vmm::PageRange ranges[] = {{512, 100}, {613, 300}};
  EXPECT_FALSE(installer_->install_block(512, ranges, block_of(512), {}));
  EXPECT_EQ(missing_->count(), 1U + 512 - 401);
  expect_page(512 + 99, 100);
  expect_page(612, 99);
  expect_page(613, 102);
  EXPECT_TRUE(missing_->test(512 + 500));
}

TEST_F(InstallingPages, RefusesABlockWithAPageThatIsHereAlready) {
  make({{512, 512}});
  install({600, 1}, vmm::pages_of(99));
  const vmm::PageRange range{512, 512};
  EXPECT_THROW(static_cast<void>(installer_->install_block(512, {&range, 1}, block_of(512), {})),
               wire::ProtocolError);
  expect_page(600, 99);
}

TEST_F(InstallingPages, InstallsTheHalfBlockAtTheEndOfRam) {
  memory_ = vmm::GuestMemory(vmm::kMinMemory + (1U << 20));
  make();
  const vmm::PageIndex first = memory_.page_count() - 256;
  const vmm::PageRange half{first, 256};
  EXPECT_FALSE(installer_->install_block(first, {&half, 1}, block_of(256), {}));
  EXPECT_EQ(missing_->count(), first);
  expect_page(first, 1);
  expect_page(first + 255, 256 & 0x7f);
}

TEST_F(InstallingPages, ComparesABlockWithItsDigests) {
  make({{512, 512}}, true);
  const auto block = block_of(512);
  std::vector<std::uint64_t> digests;
  for (std::size_t page = 0; page < 512; ++page) {
    digests.push_back(digest_of(block.subspan(page * vmm::kPageSize, vmm::kPageSize)));
  }
  ++digests[300];
  const vmm::PageRange range{512, 512};
  EXPECT_THROW(static_cast<void>(installer_->install_block(512, {&range, 1}, block, digests)),
               wire::ProtocolError);
  EXPECT_EQ(missing_->count(), 512U);
  --digests[300];
  static_cast<void>(installer_->install_block(512, {&range, 1}, block, digests));
  EXPECT_EQ(all_here_, 1);
  expect_page(512 + 300, 301 & 0x7f);
}

}  // namespace
}  // namespace migration
