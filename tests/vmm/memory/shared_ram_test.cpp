#include "vmm/memory/shared_ram.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "vmm/memory/guest_memory.hpp"

namespace vmm {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

UniqueFd memfd(std::uint64_t size, int seals) {
  UniqueFd file(::memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
  EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, seals), 0);
  return file;
}

/// Why it is not taken as RAM of 16 MiB.
std::string refusal(UniqueFd file) {
  try {
    SharedRam taken(std::move(file), 16_MiB);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(SharedRam, IsTakenAsItWasMade) {
  GuestMemory made = GuestMemory::shared(16_MiB);
  made.pages({5, 1})[3] = std::byte{7};
  GuestMemory taken(16_MiB, SharedRam(UniqueFd(::dup(made.file())), 16_MiB));
  EXPECT_EQ(taken.pages({5, 1})[3], std::byte{7});
  taken.pages({5, 1})[4] = std::byte{8};
  EXPECT_EQ(made.pages({5, 1})[4], std::byte{8});
  EXPECT_TRUE(::ftruncate(made.file(), 0) < 0 && ::ftruncate(made.file(), 64 << 20) < 0);
}

TEST(SharedRam, IsRefusedByName) {
  const std::uint64_t size = 16_MiB + kPageSize;
  EXPECT_EQ(refusal(memfd(size, kSeals)), "");
  EXPECT_EQ(refusal(memfd(16_MiB, kSeals)),
            "the memory that was handed over has 16777216 bytes, not 16781312");
  EXPECT_EQ(refusal(memfd(size, F_SEAL_SHRINK | F_SEAL_GROW)),
            "the memory that was handed over has the seals 0x6, not 0x7");
  EXPECT_EQ(refusal(memfd(size, kSeals | F_SEAL_WRITE)),
            "the memory that was handed over has the seals 0xf, not 0x7");
  EXPECT_EQ(refusal(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))),
            "the memory that was handed over is no memfd");
  const UniqueFd file = memfd(size, kSeals);
  UniqueFd read_only(::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDONLY));
  EXPECT_EQ(refusal(std::move(read_only)), "the memory that was handed over cannot be written");
}

TEST(SharedRam, NeedsNoRoomAndGivesPagesBack) {
  GuestMemory memory = GuestMemory::shared(16_MiB);
  EXPECT_FALSE(memory.needs_room());
  EXPECT_FALSE(memory.has_file());
  memory.reserve({0, 8});
  PageSet none(memory.page_count());
  memory.add_populated({0, memory.page_count()}, none);
  EXPECT_TRUE(none.empty());
  std::ranges::fill(memory.pages({0, 8}), std::byte{7});
  const PageRange some{1, 2};
  memory.give_back({&some, 1});
  PageSet populated(memory.page_count());
  memory.add_populated({0, 8}, populated);
  EXPECT_EQ(populated.ranges(), (std::vector<PageRange>{{0, 1}, {3, 5}}));
  PageSet written(memory.page_count());
  memory.take_host_writes(written);
  EXPECT_EQ(written.ranges(), std::vector<PageRange>{some});
  memory.discard({&some, 1});
  memory.cover();
  memory.uncover({0, memory.page_count()});
  EXPECT_FALSE(memory.needs_room());
  EXPECT_EQ(memory.pages({3, 1})[0], std::byte{7});
}

using Side = RamClaim::Side;

TEST(RamClaim, IsOfOneSideAlone) {
  GuestMemory here = GuestMemory::shared(16_MiB);
  here.claim()->open();
  GuestMemory there(16_MiB, SharedRam(UniqueFd(::dup(here.file())), 16_MiB));
  EXPECT_TRUE(there.claim()->take(Side::destination));
  EXPECT_TRUE(there.claim()->take(Side::destination));
  EXPECT_FALSE(here.claim()->take(Side::source));
  EXPECT_TRUE(here.claim()->is_of(Side::destination));
  there.claim()->give_back(Side::destination);
  EXPECT_FALSE(here.claim()->is_of(Side::destination));
  EXPECT_TRUE(here.claim()->take(Side::source));
  there.claim()->give_back(Side::destination);
  EXPECT_FALSE(there.claim()->take(Side::destination));
}

TEST(RamClaim, IsOfOneHandover) {
  GuestMemory here = GuestMemory::shared(16_MiB);
  here.claim()->open();
  GuestMemory first(16_MiB, SharedRam(UniqueFd(::dup(here.file())), 16_MiB));
  EXPECT_TRUE(here.claim()->take(Side::source));
  here.claim()->open();
  GuestMemory second(16_MiB, SharedRam(UniqueFd(::dup(here.file())), 16_MiB));
  EXPECT_FALSE(first.claim()->take(Side::destination));
  EXPECT_TRUE(second.claim()->take(Side::destination));
}

TEST(RamClaim, IsOfOneOfTwoOnTheSameSide) {
  GuestMemory here = GuestMemory::shared(16_MiB);
  here.claim()->open();
  GuestMemory one(16_MiB, SharedRam(UniqueFd(::dup(here.file())), 16_MiB));
  GuestMemory other(16_MiB, SharedRam(UniqueFd(::dup(here.file())), 16_MiB));
  EXPECT_TRUE(one.claim()->take(Side::destination));
  EXPECT_FALSE(other.claim()->take(Side::destination));
  other.claim()->give_back(Side::destination);
  EXPECT_TRUE(one.claim()->take(Side::destination));
}

TEST(RamClaim, IsNotInRam) {
  GuestMemory memory = GuestMemory::shared(16_MiB);
  EXPECT_TRUE(memory.claim()->take(Side::destination));
  EXPECT_TRUE(std::ranges::all_of(memory.pages({0, memory.page_count()}),
                                  [](std::byte byte) { return byte == std::byte{0}; }));
}

}  // namespace
}  // namespace vmm
