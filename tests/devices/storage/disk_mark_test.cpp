#include "devices/storage/disk_mark.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace devices::storage {
namespace {

class DiskMarkTest : public testing::Test {
 public:
  DiskMarkTest(const DiskMarkTest&) = delete;
  DiskMarkTest& operator=(const DiskMarkTest&) = delete;
  ~DiskMarkTest() override { std::filesystem::remove_all(directory_); }

 protected:
  DiskMarkTest() {
    std::string name = testing::TempDir() + "/ferry-mark-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
    image_ = open("disk");
  }

  [[nodiscard]] vmm::UniqueFd open(const std::string& name) const {
    return vmm::UniqueFd(
        ::open((directory_ / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  }
  [[nodiscard]] std::filesystem::path path_of_mark() const { return directory_ / "disk.ferry"; }
  [[nodiscard]] std::string text() const {
    std::ifstream file(path_of_mark(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) const { std::ofstream(path_of_mark()) << text; }

  std::filesystem::path directory_;
  vmm::UniqueFd image_;
};

TEST_F(DiskMarkTest, IsMadeOnceAndNamesTheDisk) {
  DiskMark mark(image_.get());
  EXPECT_FALSE(mark.read());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  const auto first = mark.read();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->disk.size(), 32U);
  EXPECT_EQ(first->process, "nobody yet");
  DiskMark other(image_.get());
  EXPECT_EQ(other.look_for_writer(), std::nullopt);
  EXPECT_EQ(other.read()->disk, first->disk);
}

TEST_F(DiskMarkTest, TellsWhoHasWrittenSince) {
  DiskMark one(image_.get());
  DiskMark other(image_.get());
  EXPECT_EQ(one.look_for_writer(), std::nullopt);
  one.claim();
  EXPECT_EQ(other.look_for_writer(), std::nullopt);
  EXPECT_EQ(one.look_for_writer(), std::nullopt);
  other.claim();
  EXPECT_EQ(other.look_for_writer(), std::nullopt);
  const auto writer = one.look_for_writer();
  ASSERT_TRUE(writer);
  EXPECT_TRUE(writer->starts_with("process " + std::to_string(::getpid()) + " on ")) << *writer;
}

/// Also one that the guest has not written through before.
TEST_F(DiskMarkTest, ToldOfAWriterStaysToldOf) {
  DiskMark one(image_.get());
  DiskMark other(image_.get());
  EXPECT_EQ(one.look_for_writer(), std::nullopt);
  other.claim();
  EXPECT_TRUE(one.look_for_writer());
  EXPECT_TRUE(one.look_for_writer());
}

TEST_F(DiskMarkTest, IsWrittenInPlaceAndOnce) {
  DiskMark mark(image_.get());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  const std::string before = text();
  mark.claim();
  const std::string after = text();
  EXPECT_NE(after, before);
  EXPECT_EQ(after.size(), before.size());
  write(before);
  mark.claim();
  EXPECT_EQ(text(), before);
}

TEST_F(DiskMarkTest, NamesWhoRanAMachineWithTheDiskLast) {
  DiskMark one(image_.get());
  DiskMark other(image_.get());
  EXPECT_EQ(one.look_for_writer(), std::nullopt);
  EXPECT_FALSE(one.names_this_runner());
  one.note_runner();
  EXPECT_TRUE(one.names_this_runner());
  EXPECT_FALSE(other.names_this_runner());
  const std::string before = text();
  other.note_runner();
  EXPECT_TRUE(other.names_this_runner());
  EXPECT_FALSE(one.names_this_runner());
  EXPECT_EQ(text().size(), before.size());
  // It has written nothing: the first may have its disk again, and run.
  EXPECT_EQ(one.look_for_writer(), std::nullopt);
  EXPECT_FALSE(one.names_this_runner());
  one.note_runner();
  EXPECT_TRUE(one.names_this_runner());
}

TEST_F(DiskMarkTest, NamesTheRunnerAndTheWriterApart) {
  DiskMark runs(image_.get());
  DiskMark writes(image_.get());
  EXPECT_EQ(runs.look_for_writer(), std::nullopt);
  EXPECT_EQ(writes.look_for_writer(), std::nullopt);
  runs.note_runner();
  writes.claim();
  EXPECT_TRUE(runs.names_this_runner());
  const auto content = writes.read();
  ASSERT_TRUE(content);
  EXPECT_TRUE(content->process.starts_with("process ")) << content->process;
  EXPECT_EQ(content->process.find('\n'), std::string::npos);
  EXPECT_NE(content->writer.substr(0, 16), content->runner);
}

/// As a release makes it that knows no runners.
TEST_F(DiskMarkTest, WithoutARunnerNamesNobody) {
  DiskMark mark(image_.get());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  mark.note_runner();
  std::string old = text();
  const std::size_t at = old.find("\nrunner ");
  ASSERT_NE(at, std::string::npos);
  old.replace(at, 24, std::string(24, ' '));
  write(old);
  const auto content = mark.read();
  ASSERT_TRUE(content);
  EXPECT_EQ(content->runner, "");
  EXPECT_FALSE(mark.names_this_runner());
}

TEST_F(DiskMarkTest, SaysTheSameOnceItIsTried) {
  DiskMark mark(image_.get());
  mark.try_writing();
  EXPECT_FALSE(mark.read());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  mark.claim();
  const std::string before = text();
  mark.try_writing();
  EXPECT_EQ(text(), before);
  write("an image");
  mark.try_writing();
  EXPECT_EQ(text(), "an image");
}

TEST_F(DiskMarkTest, ThatMayNotBeWrittenIsFoundWhenItIsTried) {
  std::filesystem::permissions(directory_, std::filesystem::perms{0711});
  DiskMark mark(image_.get());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  std::filesystem::permissions(path_of_mark(), std::filesystem::perms{0444});
  std::string why;
  // Whoever may do anything is somebody else meanwhile.
  const auto before = ::setfsuid(65534);
  try {
    mark.try_writing();
  } catch (const std::system_error& error) {
    why = error.what();
  }
  ::setfsuid(static_cast<uid_t>(before));
  EXPECT_EQ(why, "'" + mark.path().string() +
                     "', which marks a disk: whoever writes to the disk notes itself there before, "
                     "and this process cannot: let it write that file, and have room for it: "
                     "Permission denied");
}

TEST_F(DiskMarkTest, LeavesAnotherFileOfItsNameAlone) {
  DiskMark made(image_.get());
  EXPECT_EQ(made.look_for_writer(), std::nullopt);
  const std::string sound = text();
  for (const std::string& other :
       {std::string("an image"), sound + "more", sound.substr(0, sound.size() - 1),
        "x" + sound.substr(1), std::string(sound).replace(sound.find("disk "), 7, "disk  Z")}) {
    write(other);
    DiskMark mark(image_.get());
    EXPECT_EQ(mark.look_for_writer(), std::nullopt);
    mark.claim();
    EXPECT_FALSE(mark.read());
    EXPECT_EQ(text(), other);
  }
}

TEST_F(DiskMarkTest, FollowsNoLink) {
  const auto elsewhere = directory_ / "elsewhere";
  std::filesystem::create_symlink(elsewhere, path_of_mark());
  DiskMark mark(image_.get());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  mark.claim();
  EXPECT_FALSE(std::filesystem::exists(elsewhere));
}

TEST_F(DiskMarkTest, IsMadeAnewAfterAHostEndedWhileItWasMade) {
  write("");
  DiskMark mark(image_.get());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  EXPECT_TRUE(mark.read());
}

TEST_F(DiskMarkTest, MayBeOpenedByWhoMayOpenTheImage) {
  ASSERT_EQ(::fchmod(image_.get(), 0660), 0);
  DiskMark mark(image_.get());
  EXPECT_EQ(mark.look_for_writer(), std::nullopt);
  struct stat status {};
  ASSERT_EQ(::stat(path_of_mark().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);
}

TEST_F(DiskMarkTest, IsNotThereForWhatHasNoPlaceBesideIt) {
  const vmm::UniqueFd gone = open("gone");
  std::filesystem::remove(directory_ / "gone");
  const vmm::UniqueFd device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const vmm::UniqueFd long_name = open(std::string(252, 'n'));
  for (const int image : {gone.get(), device.get(), long_name.get()}) {
    DiskMark mark(image);
    EXPECT_EQ(mark.look_for_writer(), std::nullopt);
    mark.claim();
    EXPECT_FALSE(mark.read());
  }
}

}  // namespace
}  // namespace devices::storage
