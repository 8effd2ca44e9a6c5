#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "tests/devices/storage/file_storage_fixture.hpp"

namespace {

std::atomic<int> flushes{0};
std::atomic<int> fails_with{0};

/// One flush, the next, which ends with EIO when it may.
struct FailsLater {
  FailsLater() { next = this; }
  std::promise<void> begun, may_end;
  static std::atomic<FailsLater*> next;
};
std::atomic<FailsLater*> FailsLater::next{nullptr};

}  // namespace

/// In place of the C library's.
extern "C" int fdatasync(int file) {
  ++flushes;
  if (FailsLater* const later = FailsLater::next.exchange(nullptr)) {
    later->begun.set_value();
    later->may_end.get_future().wait();
    errno = EIO;
    return -1;
  }
  if (fails_with == 0) return static_cast<int>(::syscall(SYS_fdatasync, file));
  errno = fails_with;
  return -1;
}

namespace devices::storage {
namespace {

/// In a file system that makes holes and cannot make zeros of a range.
class FileStorageInMemoryTest : public FileStorageTest {
 protected:
  FileStorageInMemoryTest() : FileStorageTest("/dev/shm") {}
};

std::vector<iovec> parts_of(const std::vector<std::string*>& texts) {
  std::vector<iovec> parts;
  parts.reserve(texts.size());
  for (std::string* text : texts) parts.push_back({text->data(), text->size()});
  return parts;
}

TEST_F(FileStorageTest, HasTheFilesSize) {
  const FileStorage disk = storage();
  EXPECT_EQ(disk.size(), kSize);
  EXPECT_EQ(disk.id(), "some disk");
  EXPECT_FALSE(disk.read_only());
}

TEST_F(FileStorageTest, WritesAndReadsParts) {
  FileStorage disk = storage();
  std::string first(100, 'a');
  std::string second(412, 'b');
  auto parts = parts_of({&first, &second});
  disk.write(kSectorSize, parts);
  EXPECT_EQ(content(), changed(std::string(kSize, 'd'), kSectorSize, first + second));
  std::string third(512, '-');
  std::string fourth(512, '-');
  parts = parts_of({&third, &fourth});
  disk.read(kSectorSize, parts);
  EXPECT_EQ(third, first + second);
  EXPECT_EQ(fourth, std::string(512, 'd'));
  disk.flush();
}

TEST_F(FileStorageTest, TransfersMorePartsThanTheKernelTakesAtOnce) {
  FileStorage disk = storage();
  std::string text(kSize, '-');
  std::vector<iovec> parts;
  for (std::size_t at = 0; at < kSize; at += 16) parts.push_back({text.data() + at, 16});
  EXPECT_FALSE(disk.try_read(0, parts));
  disk.read(0, parts);
  EXPECT_EQ(text, std::string(kSize, 'd'));
}

TEST_F(FileStorageTest, ReadsWhatIsAtHand) {
  FileStorage disk = storage();
  std::string text(512, '-');
  const auto parts = parts_of({&text});
  // Not every file system can tell.
  const bool at_hand = disk.try_read(kSectorSize, parts);
  EXPECT_TRUE(!at_hand || text == std::string(512, 'd'));
}

TEST_F(FileStorageTest, MissesWhatWasCutOff) {
  FileStorage disk = storage();
  std::filesystem::resize_file(path_, kSize - kSectorSize);
  std::string text(2 * kSectorSize, '-');
  auto parts = parts_of({&text});
  EXPECT_FALSE(disk.try_read(kSize - text.size(), parts));
  EXPECT_EQ(code_of([&] { disk.read(kSize - text.size(), parts); }).value(), EIO);
}

TEST_F(FileStorageTest, ZeroesEitherWay) {
  FileStorage disk = storage();
  disk.write_zeroes(kSectorSize, 2 * kSectorSize, false);
  disk.write_zeroes(8 * kSectorSize, 8 * kSectorSize, true);
  std::string expected = changed(std::string(kSize, 'd'), kSectorSize, std::string(1024, '\0'));
  expected = changed(expected, 8 * kSectorSize, std::string(4096, '\0'));
  EXPECT_EQ(content(), expected);
}

TEST_F(FileStorageInMemoryTest, WritesZerosWhereTheHostMakesNone) {
  FileStorage disk = storage();
  disk.write_zeroes(kSectorSize, kSize - kSectorSize, false);
  EXPECT_EQ(content(), std::string(kSectorSize, 'd') + std::string(kSize - kSectorSize, '\0'));
}

TEST_F(FileStorageInMemoryTest, DiscardsIntoAHole) {
  FileStorage disk = storage();
  struct stat before {};
  ASSERT_EQ(::stat(path_.c_str(), &before), 0);
  disk.discard(0, kSize);
  struct stat after {};
  ASSERT_EQ(::stat(path_.c_str(), &after), 0);
  EXPECT_LT(after.st_blocks, before.st_blocks);
  EXPECT_EQ(content(), std::string(kSize, '\0'));
}

TEST_F(FileStorageTest, SaysWhatFailed) {
  FileStorage disk = storage(true);
  std::string text(512, '-');
  auto parts = parts_of({&text});
  try {
    disk.write(0, parts);
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EBADF);
    EXPECT_EQ(std::string(error.what()).find("disk '" + path_.string() + "': cannot write"), 0U);
  }
}

TEST_F(FileStorageTest, IsWrittenByOneOrReadByMany) {
  FileStorage writer = storage();
  FileStorage other = storage();
  FileStorage reader = storage(true);
  FileStorage another = storage(true);
  const auto error_of = [](FileStorage& disk) { return code_of([&] { disk.acquire(); }).value(); };
  writer.acquire();
  writer.acquire();
  EXPECT_EQ(error_of(other), EBUSY);
  EXPECT_EQ(error_of(reader), EBUSY);
  writer.release();
  writer.release();
  EXPECT_EQ(error_of(reader), 0);
  EXPECT_EQ(error_of(another), 0);
  EXPECT_EQ(error_of(writer), EBUSY);
  reader.release();
  another.release();
  EXPECT_EQ(error_of(writer), 0);
}

TEST_F(FileStorageTest, KnowsTheSameDisk) {
  FileStorage disk = storage();
  FileStorage same = storage(true);
  EXPECT_NO_THROW(same.check_same(disk_identity(disk.host_part())));
  DiskIdentity other = disk.identity();
  other.bytes += kSectorSize;
  EXPECT_THROW(same.check_same(other), std::invalid_argument);
  other = disk.identity();
  ++other.inode;
  EXPECT_THROW(same.check_same(other), std::invalid_argument);
  other.boot = "another";  // whose numbers mean nothing here
  EXPECT_NO_THROW(same.check_same(other));
  other.mark = std::string(32, '1');
  EXPECT_THROW(same.check_same(other), std::invalid_argument);
  disk.acquire();
  EXPECT_THROW(same.check_same(other), std::invalid_argument);
  other.mark = disk.identity().mark;
  EXPECT_EQ(other.mark.size(), 32U);
  EXPECT_NO_THROW(same.check_same(other));
}

// The guest runs at its source still, and nobody writes there yet.
TEST_F(FileStorageTest, IsRefusedToWhoCannotNoteItselfAsItsWriter) {
  FileStorage disk = storage();
  disk.acquire();
  const DiskIdentity identity = disk.identity();
  FileStorage other = storage();
  FileStorage reader = storage(true);
  fails_with = ENOSPC;
  const std::error_code code = code_of([&] { other.check_same(identity); });
  EXPECT_NO_THROW(reader.check_same(identity));
  fails_with = 0;
  EXPECT_EQ(code.value(), ENOSPC);
  EXPECT_NO_THROW(other.check_same(identity));
  fails_with = ENOSPC;  // it has been tried, and the guest stands now
  EXPECT_NO_THROW(disk.release());
  EXPECT_NO_THROW(other.acquire());
  fails_with = 0;
}

TEST_F(FileStorageTest, IsNotKnownByANameThatHasAnotherMark) {
  FileStorage disk = storage();
  disk.acquire();
  std::filesystem::rename(path_, directory_ / "renamed");
  FileStorage renamed({.path = directory_ / "renamed", .read_only = false, .id = "some disk"});
  EXPECT_THROW(renamed.check_same(disk_identity(disk.host_part())), std::invalid_argument);
}

TEST_F(FileStorageTest, IsNotAcquiredAgainOnceAnotherHasWritten) {
  FileStorage first = storage();
  FileStorage second = storage();
  const auto hand_over = [](FileStorage& from, FileStorage& to) {
    from.release();
    to.acquire();
  };
  first.acquire();
  write_some(first);
  hand_over(first, second);
  hand_over(second, first);  // it came to nothing
  write_some(first);
  FileStorage third = storage();
  hand_over(first, third);
  write_some(third);
  EXPECT_THROW(hand_over(third, first), std::runtime_error);
  third.acquire();  // nor does the one that was refused keep the lock
  std::filesystem::remove(path_.string() + ".ferry");
  hand_over(third, first);
}

// The guest stands meanwhile.
/// As a source asks that does not know whether its destination has run the machine.
TEST_F(FileStorageTest, TellsWhetherAMachineHasRunWithItElsewhere) {
  FileStorage source = storage();
  FileStorage destination = storage();
  source.acquire();
  source.note_run();
  EXPECT_TRUE(source.last_ran_here());
  destination.check_same(source.identity());
  EXPECT_TRUE(destination.tells_runs());
  source.release();
  EXPECT_EQ(source.held_elsewhere(), false);
  destination.acquire();
  EXPECT_EQ(source.held_elsewhere(), true);
  EXPECT_TRUE(source.last_ran_here());
  destination.note_run();
  EXPECT_FALSE(source.last_ran_here());
  destination.release();
  source.acquire();  // nothing was written
  EXPECT_FALSE(source.last_ran_here());
}

TEST_F(FileStorageTest, OfAnotherKernelTellsNothing) {
  FileStorage source = storage();
  FileStorage destination = storage();
  source.acquire();
  source.note_run();
  DiskIdentity elsewhere = source.identity();
  elsewhere.boot = "another";
  destination.check_same(elsewhere);
  EXPECT_FALSE(destination.tells_runs());
  source.release();
  destination.acquire();
  destination.note_run();  // costs nothing while the guest stands
  EXPECT_TRUE(source.last_ran_here());
  destination.prepare_release();  // but before it is a source itself
  EXPECT_FALSE(source.last_ran_here());
  EXPECT_TRUE(destination.last_ran_here());
}

TEST_F(FileStorageTest, ThatIsOnlyReadTellsNothing) {
  FileStorage source = storage(true);
  FileStorage destination = storage(true);
  destination.check_same(source.identity());
  EXPECT_FALSE(destination.tells_runs());
  destination.acquire();
  destination.note_run();
  EXPECT_EQ(source.held_elsewhere(), std::nullopt);
  EXPECT_FALSE(destination.last_ran_here());
}

TEST_F(FileStorageTest, FlushesNothingTwiceAsItIsReleased) {
  FileStorage disk = storage();
  const auto flushes_of = [](const std::function<void()>& act) {
    const int before = flushes;
    act();
    return flushes - before;
  };
  const auto release = [&] {
    disk.release();
    disk.acquire();
  };
  disk.acquire();
  EXPECT_EQ(flushes_of(release), 0);
  for (const auto& change : {std::function<void()>([&] { write_some(disk); }),
                             {[&] { disk.discard(0, kSectorSize); }},
                             {[&] { disk.write_zeroes(0, kSectorSize, false); }}}) {
    change();
    EXPECT_EQ(flushes_of(release), 1);
    change();
    disk.prepare_release();
    EXPECT_EQ(flushes_of(release), 0);
  }
}

TEST_F(FileStorageTest, IsNotReleasedBeforeTheGuestHasHeardOfALoss) {
  FileStorage disk = storage();
  disk.acquire();
  write_some(disk);
  fails_with = EIO;
  EXPECT_EQ(code_of([&] { disk.prepare_release(); }).value(), EIO);
  fails_with = 0;
  for (int again = 0; again < 2; ++again) {
    EXPECT_EQ(code_of([&] { disk.release(); }).value(), EIO);
  }
  EXPECT_EQ(code_of([&] { disk.flush(); }).value(), EIO);
  EXPECT_NO_THROW(disk.release());
}

/// The host tells of it once, and a flush beside it may be told that all is well.
TEST_F(FileStorageTest, TellsALossToAFlushBesideTheOneThatHearsOfIt) {
  FileStorage disk = storage();
  disk.acquire();
  write_some(disk);
  const auto code = [&](void (FileStorage::*flush)()) {
    return std::async(std::launch::async,
                      [&disk, flush] { return code_of([&] { (disk.*flush)(); }).value(); });
  };
  FailsLater failing;
  std::future<int> first = code(&FileStorage::prepare_release);
  failing.begun.get_future().wait();
  std::future<int> second = code(&FileStorage::flush);
  second.wait_for(std::chrono::milliseconds(50));  // time for it to be told so
  failing.may_end.set_value();
  EXPECT_EQ(first.get(), EIO);
  EXPECT_EQ(second.get(), EIO);
  EXPECT_NO_THROW(disk.flush());
}

TEST_F(FileStorageTest, NamesItsWriterBeforeTheWrite) {
  for (const auto& change :
       {std::function<void(FileStorage&)>(write_some),
        {[](FileStorage& disk) { disk.discard(0, kSectorSize); }},
        {[](FileStorage& disk) { disk.write_zeroes(0, kSectorSize, false); }}}) {
    FileStorage first = storage();
    FileStorage second = storage();
    first.acquire();
    first.release();
    second.acquire();
    change(second);
    second.release();
    EXPECT_THROW(first.acquire(), std::runtime_error);
  }
}

}  // namespace
}  // namespace devices::storage
