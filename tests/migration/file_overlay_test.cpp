#include "migration/postcopy/file_overlay.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "tests/migration/missing_pages_fixture.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {
namespace {

/// As long as it is there, no file can be written, as if a tmpfs were full.
class NoRoom {
 public:
  NoRoom() {
    before_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit none{0, limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoRoom() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }
  NoRoom(const NoRoom&) = delete;
  NoRoom& operator=(const NoRoom&) = delete;

 private:
  void (*before_)(int) = nullptr;
  rlimit limit_{};
};

/// RAM that is a file of eight blocks and a half, of which all pages but two are missing.
class FillingAnOverlay : public FaultServing {
 protected:
  void SetUp() override {
    FaultServing::SetUp();
    if (IsSkipped()) return;
    if (!userfault_->can_protect()) GTEST_SKIP() << "this kernel lacks UFFDIO_WRITEPROTECT (5.7)";
    memory_ = vmm::GuestMemory(vmm::kMinMemory + (1U << 20), vmm::Backing::memfd);
    file_ = memory_.file();
    overlay_ = std::make_unique<FileOverlay>(memory_, userfault_);
  }
  void make(bool digests = false) { FaultServing::make(missing(), digests); }
  [[nodiscard]] std::vector<vmm::PageRange> missing() const {
    return {{0, kZero},
            {kZero + 1, kOtherZero - kZero - 1},
            {kOtherZero + 1, memory_.page_count() - kOtherZero - 1}};
  }
  /// Pages of that value, each.
  void put(vmm::PageRange range, int value) { install(range, vmm::pages_of(value, range.count)); }
  void put_all(int value) {
    for (const vmm::PageRange& range : missing()) put(range, value);
  }
  [[nodiscard]] std::byte& byte(vmm::PageIndex page) { return memory_.pages({page, 1})[0]; }
  /// What the file has of a page, which need not be what the guest sees.
  [[nodiscard]] int in_file(vmm::PageIndex page) const {
    unsigned char value = 0;
    const auto offset = static_cast<off_t>(page * vmm::kPageSize);
    return ::pread(file_, &value, 1, offset) == 1 ? value : -1;
  }
  [[nodiscard]] bool reserve(vmm::PageIndex block) {
    first_ = block * kBlock;
    const vmm::PageRange range{first_, kBlock};
    ranges_ = range.first <= kZero && kZero < range.end()
                  ? std::vector<vmm::PageRange>{{first_, kZero - first_},
                                                {kZero + 1, range.end() - kZero - 1}}
                  : std::vector<vmm::PageRange>{range};
    auto reservation = installer_->reserve_block(first_, ranges_);
    if (!reservation) return false;
    reservation_.emplace(std::move(*reservation));
    return true;
  }
  void fill(int value) {
    for (const vmm::PageRange& range : ranges_) {
      std::memset(reservation_->bytes().data() + (range.first - first_) * vmm::kPageSize, value,
                  range.count * vmm::kPageSize);
    }
  }
  void install_reserved(const std::vector<std::uint64_t>& digests = {}) {
    BlockReservation reservation = std::move(*reservation_);
    reservation_.reset();
    installer_->install_reserved(std::move(reservation), first_, ranges_, digests);
  }

  static constexpr std::uint64_t kBlock = vmm::kHugePagePages;
  static constexpr vmm::PageIndex kZero = kBlock + 7;
  static constexpr vmm::PageIndex kOtherZero = 6 * kBlock;
  int file_ = -1;
  vmm::PageIndex first_ = 0;  ///< of the block that is reserved
  std::vector<vmm::PageRange> ranges_;
  std::optional<BlockReservation> reservation_;
};

TEST_F(FillingAnOverlay, APageThatIsWaitedForIsThereAtOnceAndNotInTheFileYet) {
  make();
  connect();
  vmm::Reader& reader = read(3);
  EXPECT_EQ(peer_->receive_request(), 3);
  EXPECT_TRUE(reader.waits());
  send_page(3, 42);
  EXPECT_EQ(reader.value(), std::byte{42});
  EXPECT_EQ(in_file(3), 0);
}

TEST_F(FillingAnOverlay, APageThatIsNotMissingIsZeroAtOnce) {
  make();
  EXPECT_EQ(read(kZero).value(), std::byte{0});
}

TEST_F(FillingAnOverlay, ABlockIsTheFilesOnceItIsComplete) {
  make();
  put({5, kBlock - 5}, 9);
  EXPECT_EQ(in_file(5), 0);
  put({0, 5}, 8);
  EXPECT_EQ(in_file(0), 8);
  EXPECT_EQ(in_file(kBlock - 1), 9);
  byte(7) = std::byte{77};
  EXPECT_EQ(in_file(7), 77);
}

TEST_F(FillingAnOverlay, WhatTheGuestWroteMeanwhileStays) {
  make();
  byte(kZero) = std::byte{55};  // waits for a zero page and gets it
  put({kBlock, 3}, 1);
  byte(kBlock + 2) = std::byte{66};
  put({kBlock + 3, 4}, 1);
  put({kZero + 1, kBlock - 8}, 1);
  EXPECT_EQ(in_file(kZero), 55);
  EXPECT_EQ(in_file(kBlock + 2), 66);
  EXPECT_EQ(byte(kZero), std::byte{55});
  EXPECT_EQ(byte(kBlock + 2), std::byte{66});
}

TEST_F(FillingAnOverlay, ABlockThatIsFilledInPlaceShowsOnceItIsInstalled) {
  make();
  vmm::Reader& reader = read(2 * kBlock + 1);
  ASSERT_TRUE(reserve(2));
  fill(5);
  EXPECT_TRUE(reader.waits());
  install_reserved();
  EXPECT_EQ(reader.value(), std::byte{5});
  EXPECT_EQ(in_file(2 * kBlock + 1), 5);
  EXPECT_EQ(missing_->count(), memory_.page_count() - 2 - kBlock);
  EXPECT_THROW(put({2 * kBlock, 1}, 1), wire::ProtocolError);
}

TEST_F(FillingAnOverlay, ABlockThatIsFilledInPlaceLeavesWhatTheGuestHasOfIt) {
  make();
  ASSERT_TRUE(reserve(1));
  fill(5);
  byte(kZero) = std::byte{55};
  install_reserved();
  EXPECT_EQ(byte(kZero), std::byte{55});
  EXPECT_EQ(in_file(kZero), 55);
  EXPECT_EQ(in_file(kZero + 1), 5);
}

TEST_F(FillingAnOverlay, APageThatTheGuestMadeZeroMeanwhileIsZeroInABlockThatIsFilledInPlace) {
  make();
  ASSERT_TRUE(reserve(2));
  fill(5);
  put({2 * kBlock + 1, 1}, 3);
  std::ranges::fill(memory_.pages({2 * kBlock + 1, 1}), std::byte{0});
  ranges_ = {{2 * kBlock, 1}, {2 * kBlock + 2, kBlock - 2}};
  install_reserved();
  EXPECT_EQ(byte(2 * kBlock + 1), std::byte{0});
  EXPECT_EQ(in_file(2 * kBlock + 1), 0);
  EXPECT_EQ(in_file(2 * kBlock), 5);
}

TEST_F(FillingAnOverlay, ABlockIsReservedOnceAndNotWithOtherPagesMissing) {
  make();
  ASSERT_TRUE(reserve(2));
  EXPECT_FALSE(reserve(2));
  EXPECT_FALSE(reserve(8));  // a short one
  const vmm::PageRange half{3 * kBlock, kBlock / 2};
  EXPECT_FALSE(installer_->reserve_block(half.first, {&half, 1}));
}

TEST_F(FillingAnOverlay, WhatCameInPartLeavesNothingBehind) {
  make();
  ASSERT_TRUE(reserve(2));
  fill(1);
  reservation_.reset();
  put({2 * kBlock, 1}, 3);
  install_zero({2 * kBlock + 1, kBlock - 1});
  EXPECT_EQ(in_file(2 * kBlock), 3);
  EXPECT_EQ(in_file(2 * kBlock + 1), 0);
  EXPECT_EQ(byte(3 * kBlock - 1), std::byte{0});
}

TEST_F(FillingAnOverlay, AllOfABlockThatCameInPartMayBeZero) {
  make();
  ASSERT_TRUE(reserve(2));
  fill(1);
  reservation_.reset();
  for (const vmm::PageRange& range : missing()) install_zero(range);
  ASSERT_TRUE(wait_complete());
  EXPECT_EQ(byte(2 * kBlock), std::byte{0});
  EXPECT_EQ(byte(3 * kBlock - 1), std::byte{0});
}

TEST_F(FillingAnOverlay, ABlockOfAWrongDigestIsNotInstalled) {
  make(true);
  ASSERT_TRUE(reserve(2));
  fill(5);
  EXPECT_THROW(install_reserved(std::vector<std::uint64_t>(kBlock, 1)), wire::ProtocolError);
  EXPECT_TRUE(read(2 * kBlock).waits());
}

TEST_F(FillingAnOverlay, WhatComesTwiceLeavesTheGuestWhatItHas) {
  make();
  ASSERT_TRUE(reserve(2));
  put({2 * kBlock, kBlock}, 3);
  byte(2 * kBlock) = std::byte{33};
  fill(5);
  EXPECT_EQ(byte(2 * kBlock), std::byte{33});
  EXPECT_EQ(in_file(2 * kBlock), 5);  // not flushed while it is reserved
  EXPECT_THROW(install_reserved(), wire::ProtocolError);
  EXPECT_EQ(byte(2 * kBlock), std::byte{33});
  EXPECT_EQ(in_file(2 * kBlock), 33);
  EXPECT_EQ(in_file(2 * kBlock + 1), 3);
}

TEST_F(FillingAnOverlay, IsCompleteWithTheLastPageAndAllOfTheFile) {
  make();
  ASSERT_TRUE(reserve(1));
  fill(3);
  install_reserved();
  install_zero({0, kBlock});
  put({2 * kBlock, 1}, 4);
  install_zero({2 * kBlock + 1, kOtherZero - 2 * kBlock - 1});
  byte(kOtherZero) = std::byte{99};
  install_zero({kOtherZero + 1, memory_.page_count() - kOtherZero - 1});
  ASSERT_TRUE(wait_complete());
  EXPECT_EQ(byte(kBlock), std::byte{3});
  EXPECT_EQ(in_file(2 * kBlock), 4);
  EXPECT_EQ(in_file(kOtherZero), 99);
  for (vmm::PageIndex page = 0; page < memory_.page_count(); page += kBlock / 2) {
    byte(page) = std::byte{11};
    EXPECT_EQ(in_file(page), 11) << page;
  }
}

TEST_F(FillingAnOverlay, WithoutRoomInTheFileRamIsAnonymousMemory) {
  make();
  put({0, kBlock}, 7);
  {
    const NoRoom room;
    put({kBlock, kZero - kBlock}, 6);
    put({kZero + 1, 2 * kBlock - kZero - 1}, 6);
    install_zero({2 * kBlock, kOtherZero - 2 * kBlock});
    install_zero({kOtherZero + 1, memory_.page_count() - kOtherZero - 1});
    EXPECT_FALSE(wait_complete());
  }
  ASSERT_TRUE(complete());
  EXPECT_EQ(memory_.file(), -1);
  byte(kBlock) = std::byte{66};
  EXPECT_EQ(byte(3), std::byte{7});
  EXPECT_EQ(byte(kBlock + 1), std::byte{6});
  EXPECT_EQ(byte(kZero), std::byte{0});  // nobody waits any more
  vmm::PageSet populated(memory_.page_count());
  memory_.add_populated({0, memory_.page_count()}, populated);
  EXPECT_EQ(populated.count({0, 2 * kBlock}), 2 * kBlock);
  EXPECT_EQ(populated.count(), 2 * kBlock);
  // What was zero needs no room in the file when it is written, and none of it shows.
  byte(3 * kBlock) = std::byte{1};
  EXPECT_EQ(in_file(3 * kBlock), 0);
}

TEST_F(FillingAnOverlay, ABlockThatCannotBeCommittedIsInstalledOtherwise) {
  make();
  ASSERT_TRUE(reserve(1));
  fill(5);
  byte(kZero) = std::byte{55};
  {
    const NoRoom room;
    install_reserved();
  }
  EXPECT_EQ(byte(kBlock), std::byte{5});
  EXPECT_EQ(byte(kZero), std::byte{55});
  EXPECT_EQ(missing_->count(), memory_.page_count() - 2 - (kBlock - 1));
}

TEST_F(FillingAnOverlay, AbandoningLetsGoWhoWaitsAndWhoComes) {
  make();
  vmm::Reader& reader = read(1);
  connect();
  EXPECT_EQ(peer_->receive_request(), 1);
  loop_->abandon();
  EXPECT_TRUE(reader.value().has_value());
  EXPECT_TRUE(read(2).value().has_value());
}

// Writers of single pages never wait for long, and lose nothing, while their blocks become the
// file's.
TEST_F(FillingAnOverlay, AWriteIsNeverLost) {
  make();
  std::atomic<bool> stop = false;
  std::uint64_t written = 0;
  for (vmm::PageIndex page = 1; page < memory_.page_count(); page += 64) put({page, 1}, 0);
  std::thread writer([&] {
    do {
      ++written;
      for (vmm::PageIndex page = 1; page < memory_.page_count(); page += 64) {
        std::memcpy(&byte(page), &written, sizeof written);
      }
    } while (!stop);
  });
  for (vmm::PageIndex page = 0; page < memory_.page_count(); page += 64) {
    for (const vmm::PageIndex one : {page, page + 2}) {
      if (one != kOtherZero) put({one, 1}, 9);
    }
    for (vmm::PageIndex one = page + 3; one < page + 64; ++one) {
      if (one != kZero) put({one, 1}, 9);
    }
  }
  EXPECT_TRUE(wait_complete());
  stop = true;
  writer.join();
  for (vmm::PageIndex page = 1; page < memory_.page_count(); page += 64) {
    std::uint64_t value = 0;
    ASSERT_EQ(::pread(file_, &value, sizeof value, static_cast<off_t>(page * vmm::kPageSize)),
              static_cast<ssize_t>(sizeof value));
    EXPECT_EQ(value, written) << page;
  }
}

}  // namespace
}  // namespace migration
