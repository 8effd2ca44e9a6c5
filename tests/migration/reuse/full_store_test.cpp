#include <sys/resource.h>

#include <csignal>
#include <stdexcept>
#include <system_error>

#include "tests/migration/reuse/store_fixture.hpp"

namespace migration {
namespace {

/// Writes past `bytes` of a file fail, as they do when the disk is full.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &old_), 0);
    const rlimit now{bytes, old_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &now), 0);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

/// Where a write fails, there is no image of that VM afterwards, and no file.
class FullStore : public StoreFixture {
 protected:
  FullStore() : StoreFixture("/dev/shm") {}
};

TEST_F(FullStore, KeepsNothingWhenRamCannotBeWritten) {
  ImageStore store = open();
  keep(store);
  vmm::GuestMemory memory = full_memory();
  const FileLimit limit(kRam / 2);
  EXPECT_THROW(store.keep({kVm, "guest", token(2)}, memory, all()), std::system_error);
  EXPECT_TRUE(files().empty());
}

TEST_F(FullStore, KeepsNothingWhenHashesCannotBeWritten) {
  ImageStore store = open();
  vmm::GuestMemory memory(kRam, store.make_ram(kRam));
  fill(memory);
  const FileLimit limit(kPages * 16 - 1);
  EXPECT_THROW(store.keep({kVm, "guest", token(1)}, memory, all()), std::system_error);
  EXPECT_TRUE(files().empty());
}

TEST_F(FullStore, KeepsNothingWhenTheManifestCannotBeMade) {
  ImageStore store = open();
  vmm::GuestMemory memory(kRam, store.make_ram(kRam));
  fill(memory);
  std::filesystem::create_directories(file(".image") / "x");
  EXPECT_THROW(store.keep({kVm, "guest", token(1)}, memory, all()), std::system_error);
  EXPECT_EQ(files(), std::vector<std::string>{kVm + ".image"});
}

TEST_F(FullStore, HasNoImageWhenPagesCannotBeGivenUp) {
  ImageStore store = open();
  keep(store);
  {
    const FileLimit limit(100);
    EXPECT_THROW(store.drop_pages(kVm, token(1), pages({{20, 1}})), std::system_error);
  }
  EXPECT_FALSE(store.has(kVm, token(1)));
  EXPECT_TRUE(files().empty());
}

}  // namespace
}  // namespace migration
