#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "tests/devices/storage/file_storage_fixture.hpp"

namespace devices::storage {
namespace {

TEST(DiskIdentity, IsReadAsItIsWrittenAndInNoOtherWay) {
  const DiskIdentity identity{
      .bytes = 1024, .read_only = true, .boot = "some-boot", .device = 5, .inode = 77, .mark = "m"};
  const std::string text = to_text(identity);
  EXPECT_EQ(text, "disk 1024 read-only some-boot 5 77 m");
  EXPECT_EQ(disk_identity(text), identity);
  for (const std::string& unsound :
       {std::string(), text + " ", text + "0 0", " " + text, std::string("disk 1024 read-only"),
        std::string("disk -1 read-only some-boot 5 77 m"),
        std::string("disk 1024 so-so some-boot 5 77 m"),
        std::string("disk 99999999999999999999 writable some-boot 5 77 m"),
        std::string("tape 1024 read-only some-boot 5 77 m"),
        "disk 1 writable " + std::string(5000, 'x') + " 5 77 m"}) {
    EXPECT_THROW(static_cast<void>(disk_identity(unsound)), std::invalid_argument) << unsound;
  }
}

TEST_F(FileStorageTest, RefusesWhatIsNotThere) {
  std::filesystem::remove(path_);
  EXPECT_EQ(error_of_opening(), ENOENT);
  EXPECT_NE(complaint().find(path_.string()), std::string::npos);
}

TEST_F(FileStorageTest, RefusesADirectory) {
  path_ = directory_;
  EXPECT_EQ(error_of_opening(), EISDIR);
  EXPECT_EQ(error_of_opening(true), EISDIR);
}

TEST_F(FileStorageTest, RefusesAPipeWithoutWaiting) {
  std::filesystem::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THROW(static_cast<void>(storage()), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(storage(true)), std::invalid_argument);
}

TEST_F(FileStorageTest, RefusesAFileThatMayNotBeWritten) {
  std::filesystem::permissions(directory_, std::filesystem::perms{0711});
  std::filesystem::permissions(path_, std::filesystem::perms{0444});
  // Whoever may do anything is somebody else meanwhile.
  const auto before = ::setfsuid(65534);
  const std::string complaint = this->complaint();
  const int read_only = error_of_opening(true);
  ::setfsuid(static_cast<uid_t>(before));
  EXPECT_NE(complaint.find("read-only, it needs less"), std::string::npos) << complaint;
  EXPECT_EQ(read_only, 0);
}

TEST_F(FileStorageTest, RefusesSizesThatNoDiskHas) {
  std::filesystem::resize_file(path_, 0);
  EXPECT_NE(complaint().find("is empty"), std::string::npos);
  std::filesystem::resize_file(path_, 1000);
  EXPECT_NE(complaint().find("1000 bytes, which is no multiple of 512"), std::string::npos);
  EXPECT_THROW(static_cast<void>(storage()), std::invalid_argument);
}

TEST_F(FileStorageTest, RefusesAnIdThatIsTooLong) {
  EXPECT_THROW(FileStorage({.path = path_, .id = std::string(21, 'i')}), std::invalid_argument);
  EXPECT_EQ(FileStorage({.path = path_, .id = std::string(20, 'i')}).id().size(), 20U);
}

}  // namespace
}  // namespace devices::storage
