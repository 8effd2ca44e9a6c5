#include "vmm/memory/userfault.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <future>

#include "tests/vmm/memory/userfault_fixture.hpp"

namespace vmm {
namespace {

using Ranges = std::vector<PageRange>;

class UserfaultPages : public UserfaultTest {
 protected:
  void SetUp() override {
    UserfaultTest::SetUp();
    if (!IsSkipped()) userfault_->register_missing(all(memory_));
  }
  std::byte* page(PageIndex index) { return memory_.pages({index, 1}).data(); }
};

TEST_F(UserfaultPages, AReaderWaitsUntilThePageIsCopiedAndSeesItsBytes) {
  Reader& reader = read(page(5) + 17);
  ASSERT_EQ(next_fault(*userfault_), page(5));
  EXPECT_TRUE(reader.waits());
  const Installed installed = userfault_->copy(page(5), pages_of(42));
  EXPECT_EQ(installed.bytes, kPageSize);
  EXPECT_FALSE(installed.met_present);
  EXPECT_EQ(reader.value(), std::byte{42});
}

TEST_F(UserfaultPages, NoFaultIsNoAddress) {
  std::array<std::byte*, 4> addresses{};
  EXPECT_EQ(userfault_->read_faults(addresses), 0U);
}

TEST_F(UserfaultPages, FaultsOfSeveralReadersComeTogether) {
  for (const PageIndex index : {1U, 2U, 3U}) read(page(index));
  std::array<std::byte*, 8> addresses{};
  std::vector<std::byte*> faults;
  while (faults.size() < 3) {
    std::byte* const first = next_fault(*userfault_);
    ASSERT_NE(first, nullptr);
    faults.push_back(first);
    const std::size_t more = userfault_->read_faults(addresses);
    faults.insert(faults.end(), addresses.begin(), addresses.begin() + more);
  }
  std::ranges::sort(faults);
  EXPECT_EQ(faults, (std::vector{page(1), page(2), page(3)}));
  EXPECT_EQ(userfault_->copy(page(1), pages_of(9, 3)).bytes, 3 * kPageSize);
  for (Reader& reader : readers_) EXPECT_EQ(reader.value(), std::byte{9});
}

TEST_F(UserfaultPages, APageThatIsThereIsReportedAndNotChanged) {
  userfault_->copy(page(5), pages_of(1));
  const Installed again = userfault_->copy(page(5), pages_of(2));
  EXPECT_EQ(again.bytes, 0U);
  EXPECT_TRUE(again.met_present);
  const Installed zeros = userfault_->zero(page(5), kPageSize);
  EXPECT_EQ(zeros.bytes, 0U);
  EXPECT_TRUE(zeros.met_present);
  EXPECT_EQ(page(5)[99], std::byte{1});
}

TEST_F(UserfaultPages, ARunEndsAtThePageThatIsThere) {
  userfault_->copy(page(13), pages_of(1));
  const auto run = pages_of(2, 8);
  const Installed front = userfault_->copy(page(10), run);
  EXPECT_EQ(front.bytes, 3 * kPageSize);
  EXPECT_TRUE(front.met_present);
  const std::size_t behind = front.bytes + kPageSize;
  const Installed back = userfault_->copy(page(10) + behind, std::span(run).subspan(behind));
  EXPECT_EQ(back.bytes, 4 * kPageSize);
  EXPECT_FALSE(back.met_present);
  EXPECT_EQ(page(12)[0], std::byte{2});
  EXPECT_EQ(page(13)[0], std::byte{1});
  EXPECT_EQ(page(14)[0], std::byte{2});
  EXPECT_EQ(populated(memory_).ranges(), (Ranges{{10, 8}}));
}

TEST_F(UserfaultPages, ZeroPagesWakeTheirReadersAndCanBeWritten) {
  Reader& reader = read(page(7));
  ASSERT_EQ(next_fault(*userfault_), page(7));
  const Installed installed = userfault_->zero(page(6), 3 * kPageSize);
  EXPECT_EQ(installed.bytes, 3 * kPageSize);
  EXPECT_EQ(reader.value(), std::byte{0});
  page(8)[0] = std::byte{1};
  EXPECT_EQ(page(7)[0], std::byte{0});
}

// RAM asks for huge pages, which must not bring 511 zero pages along with the first.
TEST_F(UserfaultPages, InstallsOnePageOfAHugePageAlone) {
  userfault_->copy(page(1000), pages_of(1));
  userfault_->zero(page(1003), kPageSize);
  EXPECT_EQ(populated(memory_).ranges(), (Ranges{{1000, 1}, {1003, 1}}));
  Reader& reader = read(page(1001));
  ASSERT_EQ(next_fault(*userfault_), page(1001));
  userfault_->copy(page(1001), pages_of(3));
  EXPECT_EQ(reader.value(), std::byte{3});
}

TEST_F(UserfaultPages, MovesPagesOutOfWhereTheyWere) {
  if (!userfault_->can_move()) GTEST_SKIP() << "this kernel lacks UFFDIO_MOVE (Linux 6.8)";
  GuestMemory staging(kMinMemory);
  // Single pages, of which each can move alone.
  ASSERT_EQ(::madvise(all(staging).data(), staging.size(), MADV_NOHUGEPAGE), 0);
  const auto source = staging.pages({0, 3});
  std::ranges::fill(source, std::byte{6});
  userfault_->copy(page(22), pages_of(1));
  const Installed installed = userfault_->move(page(20), source.data(), source.size());
  EXPECT_EQ(installed.bytes, 2 * kPageSize);
  EXPECT_TRUE(installed.met_present);
  EXPECT_EQ(page(21)[5], std::byte{6});
  EXPECT_EQ(page(22)[5], std::byte{1});
  EXPECT_EQ(populated(staging).ranges(), (Ranges{{2, 1}}));
}

TEST_F(UserfaultTest, AProtectedPageIsReadButWrittenOnlyAfterwards) {
  if (!userfault_->can_protect()) GTEST_SKIP() << "this kernel lacks UFFDIO_WRITEPROTECT (5.7)";
  userfault_->register_protectable(all(memory_));
  const auto pages = memory_.pages({8, 4});
  userfault_->copy(pages.data(), pages_of(7, 2));
  userfault_->protect(pages);
  auto* const byte = static_cast<volatile std::byte*>(pages.data());
  const auto writer = std::async(std::launch::async, [byte] { *byte = std::byte{8}; });
  ASSERT_EQ(next_fault(*userfault_), pages.data());
  EXPECT_EQ(pages[kPageSize], std::byte{7});
  userfault_->unprotect(pages);
  ASSERT_EQ(writer.wait_for(kFaultDeadline), std::future_status::ready);
  EXPECT_EQ(pages[0], std::byte{8});
}

TEST_F(UserfaultPages, WokenReadersOfAMissingPageFaultAgain) {
  Reader& reader = read(page(5));
  ASSERT_EQ(next_fault(*userfault_), page(5));
  userfault_->wake(memory_.pages({5, 1}));
  ASSERT_EQ(next_fault(*userfault_), page(5));
  EXPECT_TRUE(reader.waits());
  userfault_->copy(page(5), pages_of(1));
  EXPECT_EQ(reader.value(), std::byte{1});
}

TEST_F(UserfaultPages, UnregisteredPagesAreNotWaitedFor) {
  Reader& reader = read(page(5));
  ASSERT_EQ(next_fault(*userfault_), page(5));
  userfault_->unregister(all(memory_));
  EXPECT_EQ(reader.value(), std::byte{0});
}

TEST_F(UserfaultPages, RefusesWhatIsNotRegistered) {
  GuestMemory other(kMinMemory);
  try {
    userfault_->copy(all(other).data(), pages_of(1));
    FAIL() << "installed";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
  }
}

class UserfaultDiscard : public UserfaultTest, public ::testing::WithParamInterface<Backing> {};

TEST_P(UserfaultDiscard, PagesAreWaitedForAndTheOthersStay) {
  GuestMemory memory(kMinMemory, GetParam());
  std::ranges::fill(all(memory), std::byte{1});
  userfault_->register_missing(all(memory));
  memory.discard(Ranges{{2, 1}, {4, 2}});
  EXPECT_EQ(populated(memory).count(), memory.page_count() - 3);
  for (const PageIndex index : {1U, 3U, 6U}) {
    EXPECT_EQ(memory.pages({index, 1})[0], std::byte{1});
  }
  std::byte* const page = memory.pages({5, 1}).data();
  Reader& reader = read(page);
  const std::byte* const fault = next_fault(*userfault_);
  userfault_->copy(page, pages_of(2));
  EXPECT_EQ(fault, page);
  EXPECT_EQ(reader.value(), std::byte{2});
}

INSTANTIATE_TEST_SUITE_P(EachBacking, UserfaultDiscard,
                         testing::Values(Backing::anonymous, Backing::memfd));

}  // namespace
}  // namespace vmm
