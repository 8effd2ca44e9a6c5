#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/huge_page.hpp"

namespace vmm {
namespace {

using Ranges = std::vector<PageRange>;
using TimePoint = std::chrono::steady_clock::time_point;

constexpr TimePoint kNoHurry = TimePoint::max();
constexpr TimePoint kStepByStep = TimePoint::min();
constexpr std::uint64_t kRam = 19_MiB;
constexpr std::uint64_t kPages = kRam / kPageSize;
/// A whole block, three that are partly there, of which the last is a short one, and six without a
/// page between them.
const Ranges kTouched = {{0, 512}, {513, 1}, {1000, 40}, {kPages - 1, 1}};
constexpr std::uint64_t kTouchedPages = 512 + 1 + 40 + 1;

std::byte mark(PageIndex page) { return static_cast<std::byte>(page % 251 + 1); }

void touch(GuestMemory& memory, PageIndex page) {
  memory.pages({page, 1})[page % kPageSize] = mark(page);
}

void touch_all(GuestMemory& memory) {
  for (const PageRange& range : kTouched) {
    for (PageIndex page = range.first; page < range.end(); ++page) touch(memory, page);
  }
}

void expect_touched(const GuestMemory& memory) {
  for (const PageRange& range : kTouched) {
    for (PageIndex page = range.first; page < range.end(); ++page) {
      ASSERT_EQ(memory.pages({page, 1})[page % kPageSize], mark(page)) << page;
    }
  }
}

void fill(std::span<std::byte> bytes, int with) { std::memset(bytes.data(), with, bytes.size()); }

Ranges populated(const GuestMemory& memory) {
  PageSet found(memory.page_count());
  memory.add_populated({0, memory.page_count()}, found);
  return found.ranges();
}

std::uint64_t bytes_of(int file) {
  struct stat status {};
  EXPECT_EQ(::fstat(file, &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

/// A tmpfs that nobody else sees, of so many pages; none where it is not permitted.
std::optional<UniqueFd> make_tmpfs(std::uint64_t pages) {
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (context.get() < 0) return std::nullopt;
  const std::string size = std::to_string(pages * kPageSize);
  EXPECT_EQ(::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "size", size.c_str(), 0),
            0);
  EXPECT_EQ(::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), 0);
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (mount.get() < 0) return std::nullopt;
  return mount;
}

/// RAM on a tmpfs that has room for what was touched, and no more.
class LeavesAFullTmpfs : public testing::Test {
 protected:
  void SetUp() override {
    auto mount = make_tmpfs(kTouchedPages);
    if (!mount) GTEST_SKIP() << "no tmpfs can be mounted here";
    UniqueFd file(::openat(mount->get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_GE(file.get(), 0);
    ASSERT_EQ(::ftruncate(file.get(), kRam), 0);
    file_ = UniqueFd(::dup(file.get()));
    memory_.emplace(kRam, std::move(file));
    touch_all(*memory_);
  }

  UniqueFd file_;
  std::optional<GuestMemory> memory_;
};

TEST(LeavesAFile, AndWhatIsPartlyThereIsMadeWholeInIt) {
  GuestMemory memory(kRam, Backing::memfd);
  touch_all(memory);
  EXPECT_TRUE(memory.needs_room());
  const UniqueFd file(::dup(memory.file()));
  EXPECT_TRUE(memory.detach_file(kNoHurry));
  EXPECT_FALSE(memory.needs_room());
  EXPECT_LT(memory.file(), 0);
  EXPECT_EQ(populated(memory), (Ranges{{0, 512}, {513, 1}, {1000, 40}, {kPages - 1, 1}}));
  expect_touched(memory);
  const std::uint64_t bytes = 3 * kHugePage + 1_MiB;
  EXPECT_EQ(bytes_of(file.get()), bytes);
  fill(memory.pages({0, kPages}), 7);
  EXPECT_EQ(bytes_of(file.get()), bytes) << "the file must not grow any more";
}

TEST(LeavesAFile, OrStaysWhereNoBlockIsEmpty) {
  GuestMemory memory(kRam, Backing::memfd);
  for (PageIndex page = 0; page < kPages; page += kHugePagePages) touch(memory, page);
  const int file = memory.file();
  EXPECT_TRUE(memory.detach_file(kNoHurry));
  EXPECT_EQ(memory.file(), file);
  EXPECT_EQ(bytes_of(file), kRam);
  EXPECT_FALSE(memory.needs_room());
  // What is given back needs room again.
  memory.discard(Ranges{{600, 1}});
  EXPECT_TRUE(memory.needs_room());
  EXPECT_TRUE(memory.detach_file(kNoHurry));
  EXPECT_EQ(bytes_of(file), kRam);
}

TEST(LeavesAFile, WhereTheFileShowsAgain) {
  GuestMemory memory(kRam, Backing::memfd);
  const int file = memory.file();
  memory.cover();
  EXPECT_FALSE(memory.needs_room());
  memory.uncover({512, 512});
  EXPECT_TRUE(memory.needs_room());
  EXPECT_TRUE(memory.detach_file(kNoHurry));
  memory.uncover({1024, 512});
  touch(memory, 1030);
  EXPECT_TRUE(memory.detach_file(kNoHurry));
  fill(memory.pages({0, kPages}), 7);
  EXPECT_EQ(bytes_of(file), kHugePage);
}

TEST_F(LeavesAFullTmpfs, WithWhatIsPartlyThere) {
  EXPECT_TRUE(memory_->detach_file(kNoHurry));
  EXPECT_LT(memory_->file(), 0);
  EXPECT_EQ(populated(*memory_), (Ranges{{0, 512}, {513, 1}, {1000, 40}, {kPages - 1, 1}}));
  expect_touched(*memory_);
  fill(memory_->pages({0, kPages}), 7);
  EXPECT_LE(bytes_of(file_.get()), kHugePage + 1_MiB);
}

/// What costs nothing goes first; the guest runs in between.
TEST_F(LeavesAFullTmpfs, StepByStep) {
  int steps = 1;
  for (; !memory_->detach_file(kStepByStep); ++steps) {
    expect_touched(*memory_);
    // Block 4 leaves when half of the steps are done at the latest.
    if (steps > 10) touch(*memory_, 4 * kHugePagePages + static_cast<PageIndex>(steps));
  }
  EXPECT_EQ(steps, 20) << "10 blocks, twice";
  expect_touched(*memory_);
  for (PageIndex page = 4 * kHugePagePages + 11; page < 4 * kHugePagePages + 20; ++page) {
    EXPECT_EQ(memory_->pages({page, 1})[page % kPageSize], mark(page));
  }
  fill(memory_->pages({0, kPages}), 7);
}

TEST_F(LeavesAFullTmpfs, WhileOthersRead) {
  std::atomic<bool> over = false;
  std::uint64_t wrong = 0;
  std::thread reader([&] {
    while (!over) {
      for (const PageIndex page : {PageIndex{513}, PageIndex{1010}, PageIndex{1030}, kPages - 1}) {
        if (memory_->pages({page, 1})[page % kPageSize] != mark(page)) ++wrong;
      }
    }
  });
  while (!memory_->detach_file(kStepByStep)) std::this_thread::yield();
  over = true;
  reader.join();
  EXPECT_EQ(wrong, 0U);
}

/// No further address space is to be had.
class AddressSpaceLimit {
 public:
  AddressSpaceLimit() {
    EXPECT_EQ(::getrlimit(RLIMIT_AS, &old_), 0);
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit now{pages * kPageSize, old_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_AS, &now), 0);
  }
  AddressSpaceLimit(const AddressSpaceLimit&) = delete;
  AddressSpaceLimit& operator=(const AddressSpaceLimit&) = delete;
  ~AddressSpaceLimit() { ::setrlimit(RLIMIT_AS, &old_); }

 private:
  rlimit old_{};
};

TEST_F(LeavesAFullTmpfs, AfterItHasFailedHalfWay) {
  {
    const AddressSpaceLimit limit;
    for (int tries = 0; tries < 2; ++tries) {
      EXPECT_THROW(static_cast<void>(memory_->detach_file(kNoHurry)), std::system_error);
    }
  }
  EXPECT_LT(memory_->file(), 0) << "empty blocks have left";
  EXPECT_TRUE(memory_->needs_room());
  expect_touched(*memory_);
  // What has left is used meanwhile, and is not taken for empty.
  const PageRange middle{3 * kHugePagePages, 6 * kHugePagePages};
  fill(memory_->pages(middle), 9);
  EXPECT_TRUE(memory_->detach_file(kNoHurry));
  expect_touched(*memory_);
  for (PageIndex page = middle.first; page < middle.end(); ++page) {
    ASSERT_EQ(memory_->pages({page, 1})[page % kPageSize], std::byte{9}) << page;
  }
  fill(memory_->pages({0, kPages}), 7);
}

}  // namespace
}  // namespace vmm
