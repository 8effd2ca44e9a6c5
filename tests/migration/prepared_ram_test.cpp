#include "migration/postcopy/prepared_ram.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "tests/migration/page_fetcher_fixture.hpp"
#include "tests/vmm/memory/without_huge_pages.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kPrepared = vmm::kHugePagePages;

/// RAM that is a file, of which the second block is prepared, a third could not be, and all pages
/// but two are missing.
class PageFetchingIntoAFile : public PageFetching {
 protected:
  void SetUp() override {
    PageFetching::SetUp();
    if (IsSkipped()) return;
    memory_ = vmm::GuestMemory(vmm::kMinMemory, vmm::Backing::memfd);
    prepared_ = std::make_unique<PreparedRam>(memory_);
    prepared_->prepare(std::vector<vmm::PageRange>{{kPrepared, kPrepared}});
    const vmm::WithoutHugePages without;
    prepared_->prepare(std::vector<vmm::PageRange>{{kNotMade, kPrepared}});
    if (!prepared_->has({kPrepared, kPrepared})) {
      GTEST_SKIP() << "this kernel gives no huge pages (MADV_COLLAPSE)";
    }
    if (!userfault_->can_map()) GTEST_SKIP() << "this kernel lacks UFFDIO_CONTINUE (Linux 5.14)";
  }
  void make(bool digests = false) { PageFetching::make(missing(), digests); }
  [[nodiscard]] std::vector<vmm::PageRange> missing() const {
    return {{0, kZero},
            {kZero + 1, kOtherZero - kZero - 1},
            {kOtherZero + 1, memory_.page_count() - kOtherZero - 1}};
  }
  [[nodiscard]] bool place(vmm::PageRange range) { return fetcher_->place({&range, 1}, parts_); }
  void fill(int value) {
    for (const iovec& part : parts_) std::memset(part.iov_base, value, part.iov_len);
  }
  void install_placed(vmm::PageRange range, const std::vector<std::uint64_t>& digests = {}) {
    fetcher_->install_placed({&range, 1}, digests);
  }

  static constexpr vmm::PageIndex kNotMade = 4 * kPrepared;
  static constexpr vmm::PageIndex kZero = kPrepared + 7;
  static constexpr vmm::PageIndex kOtherZero = 6 * kPrepared;
  std::vector<iovec> parts_;
};

TEST_F(PageFetchingIntoAFile, AReaderWaitsForAPreparedPageToo) {
  make();
  connect();
  vmm::Reader& reader = read(kPrepared + 3);
  EXPECT_EQ(peer_->receive_request(), kPrepared + 3);
  EXPECT_TRUE(reader.waits());
  send_page(kPrepared + 3, 42);
  EXPECT_EQ(reader.value(), std::byte{42});
}

TEST_F(PageFetchingIntoAFile, APreparedPageThatIsNotMissingIsZeroAtOnce) {
  make();
  EXPECT_EQ(read(kZero).value(), std::byte{0});
}

TEST_F(PageFetchingIntoAFile, InstallsPagesOverTheEdgeOfWhatIsPrepared) {
  make();
  install({kPrepared - 2, 4}, vmm::pages_of(9, 4));
  for (vmm::PageIndex page = kPrepared - 2; page < kPrepared + 2; ++page) {
    EXPECT_EQ(read(page).value(), std::byte{9}) << page;
  }
  EXPECT_EQ(fetcher_->missing(), memory_.page_count() - 2 - 4);
}

TEST_F(PageFetchingIntoAFile, PagesThatAreWrittenInPlaceShowOnceTheyAreInstalled) {
  make();
  vmm::Reader& reader = read(kPrepared + 101);
  ASSERT_TRUE(place({kPrepared + 100, 50}));
  fill(5);
  EXPECT_TRUE(reader.waits());
  install_placed({kPrepared + 100, 50});
  EXPECT_EQ(reader.value(), std::byte{5});
  EXPECT_EQ(read(kPrepared + 149).value(), std::byte{5});
}

TEST_F(PageFetchingIntoAFile, HasNoPlaceForWhatIsNotPrepared) {
  make();
  EXPECT_FALSE(place({5, 1}));
  EXPECT_FALSE(place({2 * kPrepared - 1, 2}));
}

TEST_F(PageFetchingIntoAFile, APageThatIsBeingWrittenIsWrittenByNobodyElse) {
  make();
  ASSERT_TRUE(place({kPrepared + 100, 50}));
  fill(5);
  EXPECT_THROW(static_cast<void>(place({kPrepared + 149, 2})), wire::ProtocolError);
  EXPECT_THROW(install({kPrepared + 100, 1}, vmm::pages_of(1)), wire::ProtocolError);
  install_placed({kPrepared + 100, 50});
  EXPECT_EQ(read(kPrepared + 100).value(), std::byte{5});
  EXPECT_THROW(static_cast<void>(place({kPrepared + 100, 1})), wire::ProtocolError);
}

TEST_F(PageFetchingIntoAFile, APageOfAWrongDigestIsNotInstalled) {
  make(true);
  ASSERT_TRUE(place({kPrepared, 1}));
  fill(5);
  EXPECT_THROW(install_placed({kPrepared, 1}, {1}), wire::ProtocolError);
  EXPECT_TRUE(read(kPrepared).waits());
}

TEST_F(PageFetchingIntoAFile, WhatCameInPartMayComeAgainAsAZeroPage) {
  make();
  const vmm::PageRange pages{kPrepared + 20, 10};
  ASSERT_TRUE(place(pages));
  fill(1);
  fetcher_->give_back({&pages, 1});
  ASSERT_TRUE(place(pages));
  fill(2);
  fetcher_->give_back({&pages, 1});
  fetcher_->install_zero({&pages, 1});
  EXPECT_EQ(read(kPrepared + 29).value(), std::byte{0});
}

TEST_F(PageFetchingIntoAFile, APageThatIsBeingWrittenIsNoZeroPage) {
  make();
  const vmm::PageRange pages{kPrepared + 20, 10};
  ASSERT_TRUE(place(pages));
  EXPECT_THROW(fetcher_->install_zero({&pages, 1}), wire::ProtocolError);
  fill(2);
  install_placed(pages);
  EXPECT_EQ(read(kPrepared + 20).value(), std::byte{2});
}

TEST_F(PageFetchingIntoAFile, ABlockThatCouldNotBeMadeIsMissingAsAnyOther) {
  make();
  connect();
  vmm::Reader& reader = read(kNotMade);
  EXPECT_EQ(peer_->receive_request(), kNotMade);
  send_page(kNotMade, 42);
  EXPECT_EQ(reader.value(), std::byte{42});
}

TEST_F(PageFetchingIntoAFile, APageThatTheKernelUnmapsIsFoundAgain) {
  make();
  install({kNotMade + 1, 1}, vmm::pages_of(6));
  install({kPrepared + 1, 1}, vmm::pages_of(7));
  EXPECT_EQ(read(kOtherZero).value(), std::byte{0});
  for (const vmm::PageIndex page : {kNotMade + 1, kPrepared + 1, kOtherZero}) {
    // Stands for what the kernel does to pages that it may swap out.
    ASSERT_EQ(::madvise(memory_.pages({page, 1}).data(), vmm::kPageSize, MADV_DONTNEED), 0);
  }
  EXPECT_EQ(read(kNotMade + 1).value(), std::byte{6});
  EXPECT_EQ(read(kPrepared + 1).value(), std::byte{7});
  EXPECT_EQ(read(kOtherZero).value(), std::byte{0});
}

TEST_F(PageFetchingIntoAFile, WhatCannotBeInstalledAtFirstIsInstalledLater) {
  make();
  // Pages behind the end of the file fail as those do for which there is no memory.
  const auto set_size = [this](std::uint64_t size) {
    ASSERT_EQ(::ftruncate(memory_.file(), static_cast<off_t>(size)), 0);
  };
  set_size(kNotMade * vmm::kPageSize);
  const std::uint64_t missing = fetcher_->missing();
  EXPECT_THROW(install({kNotMade - 2, 4}, vmm::pages_of(9, 4)), std::system_error);
  EXPECT_EQ(fetcher_->missing(), missing - 2);
  set_size(memory_.size());
  install({kNotMade, 2}, vmm::pages_of(9, 2));
  EXPECT_EQ(read(kNotMade - 1).value(), std::byte{9});
  EXPECT_EQ(read(kNotMade + 1).value(), std::byte{9});
}

TEST_F(PageFetchingIntoAFile, AbandoningLetsGoWhoWaitsAndWhoComes) {
  make();
  vmm::Reader& reader = read(kPrepared + 1);
  connect();
  EXPECT_EQ(peer_->receive_request(), kPrepared + 1);
  fetcher_->abandon();
  EXPECT_TRUE(reader.value().has_value());
  EXPECT_TRUE(read(kPrepared + 2).value().has_value());
}

TEST_F(PageFetchingIntoAFile, IsCompleteWithTheLastPageAndTheRestIsZero) {
  make();
  ASSERT_TRUE(place({kPrepared, 7}));
  fill(3);
  install_placed({kPrepared, 7});
  const std::vector<vmm::PageRange> others = {
      {0, kPrepared}, {kZero + 1, kOtherZero - kZero - 1}, missing().back()};
  fetcher_->install_zero(others);
  ASSERT_TRUE(wait_complete());
  EXPECT_EQ(memory_.pages({kPrepared + 6, 1})[0], std::byte{3});
  EXPECT_EQ(memory_.pages({kZero, 1})[0], std::byte{0});
  EXPECT_EQ(memory_.pages({2 * kPrepared - 1, 1})[0], std::byte{0});
}

}  // namespace
}  // namespace migration
