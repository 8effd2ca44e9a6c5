#include "migration/reuse/room_ledger.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <limits>
#include <memory>
#include <stdexcept>

#include "tests/migration/reuse/store_fixture.hpp"

namespace migration {
namespace {

TEST(Promised, IsAsLongWhateverIsTakenOfIt) {
  Promised promised{{"this host", "the cgroup /a b"}, 5 << 20, 0};
  const std::string before = encode(promised);
  EXPECT_EQ(decode_promised(before), promised);
  promised.taken = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(encode(promised).size(), before.size());
  EXPECT_EQ(decode_promised(encode(promised)), promised);
  EXPECT_EQ(decode_promised(encode(Promised{})), Promised{});
}

TEST(Promised, IsNotWhatIsCutShortOrOtherwise) {
  const std::string whole = encode({{"h"}, 1, 2});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto cut = decode_promised(whole.substr(0, size));
    EXPECT_TRUE(!cut || cut->of.empty()) << size;
  }
  EXPECT_EQ(decode_promised("1\n2\n"), std::nullopt);
  EXPECT_EQ(decode_promised(std::string(20, '9') + '\n' + std::string(20, '0') + '\n'),
            std::nullopt);
  EXPECT_EQ(decode_promised(std::string(20, 'x') + '\n' + std::string(20, '0') + '\n'),
            std::nullopt);
}

TEST(Promised, IsWhatIsNotTakenOfThatRoom) {
  const std::vector<Promised> all = {
      {{"a", "b"}, 10, 3}, {{"a"}, 5, 9}, {{"b"}, 100, 0}, {{"a", "c"}, 1, 0}};
  EXPECT_EQ(promised_of(all, "a"), 8U);
  EXPECT_EQ(promised_of(all, "b"), 107U);
  EXPECT_EQ(promised_of(all, "d"), 0U);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  const std::vector<Promised> large = {{{"a"}, kMost, 0}, {{"a"}, kMost, 1}};
  EXPECT_EQ(promised_of(large, "a"), kMost);
}

class Ledger : public StoreFixture {
 protected:
  Ledger() : StoreFixture("/dev/shm") {}

  /// What others have been promised, as somebody sees it who comes now.
  std::vector<Promised> seen() {
    std::vector<Promised> all;
    static_cast<void>(RoomLedger(path_).promise(
        {}, [&](std::span<const Promised> others) { all.assign(others.begin(), others.end()); }));
    return all;
  }
};

constexpr auto kAny = [](std::span<const Promised>) {};

TEST_F(Ledger, ShowsEachWhatTheOthersHave) {
  const RoomLedger ledger(path_);
  auto first = ledger.promise({{"a"}, 10, 0}, kAny);
  EXPECT_EQ(seen(), (std::vector<Promised>{{{"a"}, 10, 0}}));
  first->consume(7);
  const auto second = ledger.promise({{"b"}, 20, 0}, [](std::span<const Promised> others) {
    ASSERT_EQ(others.size(), 1U);
    EXPECT_EQ(promised_of(others, "a"), 3U);
  });
  EXPECT_EQ(seen().size(), 2U);
  first.reset();
  EXPECT_EQ(seen(), (std::vector<Promised>{{{"b"}, 20, 0}}));
}

TEST_F(Ledger, NotesNothingThatIsRefused) {
  const RoomLedger ledger(path_);
  const auto refuse = [](std::span<const Promised>) { throw std::runtime_error("no room"); };
  EXPECT_THROW(static_cast<void>(ledger.promise({{"a"}, 10, 0}, refuse)), std::runtime_error);
  EXPECT_TRUE(seen().empty());
}

TEST_F(Ledger, ForgetsAProcessThatWasKilled) {
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto promise = RoomLedger(path_).promise({{"a"}, 10, 0}, kAny);
    static_cast<void>(::write(ready[1], "x", 1));
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(seen().size(), 1U);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(seen().empty());
  EXPECT_TRUE(files().empty());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(Ledger, LeavesAloneWhatIsNoEntry) {
  const RoomLedger ledger(path_);
  std::ofstream(path_ / "0.room") << "what somebody else put here";
  std::filesystem::create_directory(path_ / "directory.room");
  EXPECT_TRUE(seen().empty());
}

/// As another process does that was stopped amid its work.
class Locked {
 public:
  explicit Locked(const std::filesystem::path& directory)
      : file_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    EXPECT_EQ(::flock(file_.get(), LOCK_EX | LOCK_NB), 0);
  }

 private:
  vmm::UniqueFd file_;
};

/// Who has a VM at the door waits for all of them together no longer than he can.
TEST_F(Ledger, AndTheStoreHoldNobodyUpForLongerThanHisDeadline) {
  constexpr std::chrono::milliseconds kLimit{100};
  const auto ledger = std::make_shared<const RoomLedger>(path_);
  ImageStore store(directory_ / "images", ImageStore::kUnlimited, {}, ledger);
  const Locked locked_ledger(path_);
  const Locked locked_store(directory_ / "images");
  const auto start = std::chrono::steady_clock::now();
  {
    const store::LockDeadline deadline(kLimit);
    EXPECT_THROW(static_cast<void>(store.list()), std::runtime_error);
    EXPECT_THROW(static_cast<void>(ledger->promise({{"a"}, 10, 0}, kAny)), std::runtime_error);
    EXPECT_FALSE(store.claim(kVm, kRam));
    EXPECT_EQ(store.memory_for(kRam).size(), kRam);
  }
  const auto waited = std::chrono::steady_clock::now() - start;
  EXPECT_GE(waited, kLimit);
  EXPECT_LT(waited, std::chrono::seconds(4)) << "each waits 5 s by itself";
}

/// Stores on one file system share its room.
TEST_F(Ledger, KeepsTheRoomOfAStoreForThoseWhoWereThereFirst) {
  const auto ledger = std::make_shared<const RoomLedger>(path_);
  const auto message = [this](const std::string& text) { told_ += text; };
  ImageStore first(directory_ / "first", ImageStore::kUnlimited, message, ledger);
  const vmm::GuestMemory memory = first.memory_for(kRam);
  EXPECT_GE(memory.file(), 0);
  ASSERT_EQ(seen().size(), 1U);
  const Promised first_has = seen().front();
  EXPECT_EQ(first_has.bytes, kRam);

  // Somebody else has been promised all the rest, but for a little.
  struct statvfs room {};
  ASSERT_EQ(::statvfs(directory_.c_str(), &room), 0);
  const auto neighbour = ledger->promise({first_has.of, room.f_bavail * room.f_bsize, 0}, kAny);
  ImageStore second(directory_ / "second", ImageStore::kUnlimited, message, ledger);
  EXPECT_LT(second.memory_for(kRam).file(), 0);
  EXPECT_TRUE(was_told("has no room for the VM's RAM"));
  EXPECT_TRUE(first.has_room_for_rest(memory)) << "it is promised, and not taken";
  first.give_up_room();
  EXPECT_EQ(seen().size(), 1U);
}

}  // namespace
}  // namespace migration
