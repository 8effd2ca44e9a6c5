#include "vmm/memory/guest_memory.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

namespace vmm {
namespace {

using Ranges = std::vector<PageRange>;

std::span<const std::byte> bytes(const char* text) {
  return std::as_bytes(std::span(text, std::strlen(text)));
}

TEST(GuestMemory, RefusesSizesThatAreTooSmallOrUneven) {
  EXPECT_THROW(GuestMemory(0), std::invalid_argument);
  EXPECT_THROW(GuestMemory(15_MiB), std::invalid_argument);
  EXPECT_THROW(GuestMemory(16_MiB + 4096), std::invalid_argument);
  EXPECT_THROW(GuestMemory(kMaxMemory + 1_MiB), std::invalid_argument);
}

TEST(GuestMemory, IsOneSlotBelowTheHole) {
  const GuestMemory memory(16_MiB);
  ASSERT_EQ(memory.slots().size(), 1U);
  EXPECT_EQ(memory.slots()[0].size, 16_MiB);
  EXPECT_EQ(memory.page_count(), 4096U);
}

TEST(GuestMemory, ContinuesAboveTheHole) {
  const GuestMemory memory(5_GiB);
  ASSERT_EQ(memory.slots().size(), 2U);
  EXPECT_EQ(memory.slots()[1].base, GuestAddress{4_GiB});
  EXPECT_EQ(memory.slots()[1].size, 2_GiB);
  EXPECT_EQ(memory.address_of(3_GiB / kPageSize - 1), GuestAddress{3_GiB - kPageSize});
  EXPECT_EQ(memory.address_of(3_GiB / kPageSize), GuestAddress{4_GiB});
}

TEST(GuestMemory, RefusesWhatReachesOutsideRam) {
  GuestMemory memory(4_GiB);
  std::array<std::byte, 2> two{};
  EXPECT_THROW(memory.read(GuestAddress{3_GiB - 1}, two), GuestAccessError);
  EXPECT_THROW(memory.read(GuestAddress{3_GiB + 5}, two), GuestAccessError);
  EXPECT_THROW(memory.read(GuestAddress{5_GiB - 1}, two), GuestAccessError);
  EXPECT_THROW(memory.write(GuestAddress{~std::uint64_t{0}}, two), GuestAccessError);
  EXPECT_THROW(static_cast<void>(memory.at(GuestAddress{0}, ~std::uint64_t{0})), GuestAccessError);
  EXPECT_NO_THROW(memory.read(GuestAddress{5_GiB - 2}, two));
}

class PopulatedPages : public testing::TestWithParam<Backing> {};

TEST_P(PopulatedPages, AreThoseThatWereTouchedAndLookingTouchesNone) {
  GuestMemory memory(64_MiB, GetParam());
  const PageRange all{0, memory.page_count()};
  PageSet populated(memory.page_count());
  memory.add_populated(all, populated);
  EXPECT_TRUE(populated.empty());

  memory.write(GuestAddress{40_MiB + 4096}, bytes("x"));
  memory.add_populated(all, populated);
  EXPECT_TRUE(populated.test((40_MiB + 4096) / kPageSize));
  // A huge page may come whole; no more than that may.
  EXPECT_LE(populated.count(), 512U);
  EXPECT_EQ(populated.count({0, 40_MiB / kPageSize}), 0U);

  PageSet again(memory.page_count());
  memory.add_populated(all, again);
  EXPECT_EQ(again, populated);
}

INSTANTIATE_TEST_SUITE_P(EachBacking, PopulatedPages,
                         testing::Values(Backing::anonymous, Backing::memfd));

using Discarded = PopulatedPages;

TEST_P(Discarded, PagesAreMissingAndReadAsZeroAndTheOthersStay) {
  GuestMemory memory(16_MiB, GetParam());
  const auto all = memory.pages({0, memory.page_count()});
  std::ranges::fill(all, std::byte{7});
  std::vector<PageRange> odd;  // more of them than one system call takes
  for (PageIndex page = 1; page < memory.page_count(); page += 2) odd.push_back({page, 1});
  memory.discard(odd);

  PageSet populated(memory.page_count());
  memory.add_populated({0, memory.page_count()}, populated);
  EXPECT_EQ(populated.count(), memory.page_count() / 2);
  for (PageIndex page = 0; page < memory.page_count(); ++page) {
    ASSERT_EQ(populated.test(page), page % 2 == 0) << page;
    const std::byte expected{page % 2 == 0 ? std::uint8_t{7} : std::uint8_t{0}};
    ASSERT_EQ(memory.pages({page, 1})[page % kPageSize], expected) << page;
  }
}

TEST_P(Discarded, NothingIsNothing) {
  GuestMemory memory(16_MiB, GetParam());
  memory.write(GuestAddress{0}, bytes("ferry"));
  memory.discard({});
  memory.discard(Ranges{{0, 0}});
  EXPECT_EQ(memory.pages({0, 1})[0], std::byte{'f'});
}

INSTANTIATE_TEST_SUITE_P(EachBacking, Discarded,
                         testing::Values(Backing::anonymous, Backing::memfd));

TEST(GuestMemory, GivesPagesBackAndNotesThemAsWritten) {
  GuestMemory memory(16_MiB);
  std::ranges::fill(memory.pages({0, 8}), std::byte{7});
  const Ranges some = {{1, 2}, {5, 1}};
  memory.give_back(some);
  PageSet written(memory.page_count());
  memory.take_host_writes(written);
  EXPECT_EQ(written.ranges(), some);
  PageSet populated(memory.page_count());
  memory.add_populated({0, 8}, populated);
  EXPECT_EQ(populated.ranges(), (Ranges{{0, 1}, {3, 2}, {6, 2}}));
  EXPECT_EQ(memory.pages({5, 1})[0], std::byte{0});
}

UniqueFd make_file(std::uint64_t size) {
  UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
  return file;
}

TEST(GuestMemory, OfAFileHasItsContentAndWritesToIt) {
  UniqueFd file = make_file(16_MiB);
  const int number = file.get();
  ASSERT_EQ(::pwrite(number, "ferry", 5, 5 * kPageSize), 5);
  GuestMemory memory(16_MiB, std::move(file));
  EXPECT_EQ(memory.file(), number);
  PageSet populated(memory.page_count());
  memory.add_populated({0, memory.page_count()}, populated);
  EXPECT_EQ(populated.ranges(), (Ranges{{5, 1}}));
  EXPECT_EQ(memory.pages({5, 1})[4], std::byte{'y'});

  memory.write(GuestAddress{9 * kPageSize}, bytes("x"));
  char written = 0;
  ASSERT_EQ(::pread(number, &written, 1, 9 * kPageSize), 1);
  EXPECT_EQ(written, 'x');
  memory.discard(Ranges{{5, 1}});
  EXPECT_EQ(memory.pages({5, 1})[4], std::byte{0});
}

TEST(GuestMemory, RefusesAFileOfAnotherSize) {
  EXPECT_THROW(GuestMemory(32_MiB, make_file(16_MiB)), std::invalid_argument);
  EXPECT_THROW(GuestMemory(16_MiB, make_file(32_MiB)), std::invalid_argument);
}

TEST(GuestMemory, StaysAFileThatHasAllOfIt) {
  GuestMemory memory(16_MiB, Backing::memfd);
  memory.reserve({0, 100});
  EXPECT_EQ(memory.pages({0, 1})[5], std::byte{0});
  std::ranges::fill(memory.pages({0, memory.page_count()}), std::byte{1});
  EXPECT_TRUE(memory.detach_file(std::chrono::steady_clock::time_point::max()));
  EXPECT_GE(memory.file(), 0);
  EXPECT_FALSE(memory.needs_room());
}

TEST(GuestMemory, HasNoFileWhenItIsAnonymous) {
  EXPECT_EQ(GuestMemory(16_MiB).file(), -1);
  EXPECT_GE(GuestMemory(16_MiB, Backing::memfd).file(), 0);
}

TEST(GuestMemory, TellsThePageOfAHostAddress) {
  GuestMemory memory(16_MiB);
  EXPECT_EQ(memory.page_at(memory.pages({0, 1}).data()), 0U);
  EXPECT_EQ(memory.page_at(&memory.pages({0, 4096}).back()), 4095U);
  EXPECT_EQ(memory.page_at(memory.pages({17, 1}).data() + 5), 17U);
}

TEST(GuestMemory, NotesEachPageThatADeviceWrote) {
  GuestMemory memory(16_MiB);
  memory.write(GuestAddress{2 * kPageSize - 2}, bytes("abcd"));
  PageSet written(memory.page_count());
  memory.take_host_writes(written);
  EXPECT_EQ(written.ranges(), (Ranges{{1, 2}}));
  PageSet second(memory.page_count());
  memory.take_host_writes(second);
  EXPECT_TRUE(second.empty());
}

TEST(GuestMemory, ReadsBackWhatWasWritten) {
  GuestMemory memory(16_MiB);
  memory.write(GuestAddress{4094}, bytes("ferry"));
  std::array<std::byte, 5> read{};
  memory.read(GuestAddress{4094}, read);
  EXPECT_EQ(std::memcmp(read.data(), "ferry", 5), 0);
}

}  // namespace
}  // namespace vmm
