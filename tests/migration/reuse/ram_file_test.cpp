#include "tests/migration/reuse/store_fixture.hpp"

namespace migration {
namespace {

/// RAM as a file of a store on a tmpfs.
class RamFile : public StoreFixture {
 protected:
  RamFile() : StoreFixture("/dev/shm") {}
};

std::uint64_t inode(int file) { return store::id_of(file).inode; }

TEST_F(RamFile, HasNoNameBeforeItIsKept) {
  ImageStore store = open();
  ASSERT_TRUE(store.can_hold_ram());
  vmm::GuestMemory memory(kRam, store.make_ram(kRam));
  fill(memory);
  EXPECT_TRUE(files().empty());
}

TEST_F(RamFile, IsKeptAndTakenManyTimesWithoutACopy) {
  ImageStore store = open();
  auto memory = std::make_unique<vmm::GuestMemory>(kRam, store.make_ram(kRam));
  fill(*memory);
  const std::uint64_t file_number = inode(memory->file());
  for (unsigned round = 1; round <= 5; ++round) {
    memory->pages({500 + round, 1})[0] = std::byte{9};
    store.keep({kVm, "guest", token(round)}, *memory, all());
    ASSERT_EQ(files().size(), 3U) << round;
    struct stat status {};
    ASSERT_EQ(::stat(file(".ram").c_str(), &status), 0);
    EXPECT_EQ(status.st_ino, file_number) << round;
    memory.reset();

    auto taken = store.claim(kVm, kRam);
    ASSERT_TRUE(taken) << told_;
    EXPECT_EQ(taken->token, token(round));
    EXPECT_EQ(taken->held, all());
    EXPECT_EQ(inode(taken->memory.file()), file_number);
    memory = std::make_unique<vmm::GuestMemory>(std::move(taken->memory));
    EXPECT_EQ(memory->pages({500 + round, 1})[0], std::byte{9});
    EXPECT_EQ(files().size(), 1U) << round;
  }
  store.tidy();
  EXPECT_EQ(files().size(), 1U) << "RAM in use stays";
  memory.reset();
  store.tidy();
  EXPECT_TRUE(files().empty());
}

TEST_F(RamFile, LosesThePagesThatAreNotKept) {
  ImageStore store = open();
  vmm::GuestMemory memory(kRam, store.make_ram(kRam));
  fill(memory);
  store.keep({kVm, "guest", token(1)}, memory, pages({{0, 50}}));
  vmm::PageSet data(kPages);
  memory.add_populated({0, kPages}, data);
  EXPECT_EQ(data, pages({{10, 40}}));
  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  EXPECT_EQ(taken->held, pages({{0, 50}}));
}

TEST_F(RamFile, LosesPagesThatSomebodyPutBeside) {
  ImageStore store = open();
  vmm::GuestMemory memory(kRam, store.make_ram(kRam));
  fill(memory);
  store.keep({kVm, "guest", token(1)}, memory, pages({{10, 100}}));
  memory.pages({3000, 1})[0] = std::byte{1};
  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  EXPECT_EQ(taken->held, pages({{10, 100}}));
  vmm::PageSet data(kPages);
  taken->memory.add_populated({0, kPages}, data);
  EXPECT_EQ(data, pages({{10, 100}}));
}

TEST_F(RamFile, GivesUpPagesWhileTheOldProcessStillMapsIt) {
  ImageStore store = open();
  vmm::GuestMemory memory(kRam, store.make_ram(kRam));
  fill(memory);
  store.keep({kVm, "guest", token(1)}, memory, all());
  EXPECT_TRUE(store.drop_pages(kVm, token(1), pages({{10, 90}})));
  vmm::PageSet data(kPages);
  memory.add_populated({0, kPages}, data);
  EXPECT_EQ(data, pages({{100, 10}}));
}

TEST_F(RamFile, OfAnotherStoreIsCopied) {
  ImageStore store = open();
  ImageStore other(directory_ / "other");
  keep(other);
  auto taken = other.claim(kVm, kRam);
  ASSERT_TRUE(taken);
  vmm::GuestMemory& memory = taken->memory;
  store.keep({kVm, "guest", token(2)}, memory, all());
  struct stat status {};
  ASSERT_EQ(::stat(file(".ram").c_str(), &status), 0);
  EXPECT_NE(status.st_ino, inode(memory.file()));
  EXPECT_TRUE(store.claim(kVm, kRam)) << told_;
}

TEST_F(RamFile, ThatIsNotKeptLeavesNoName) {
  ImageStore limited = open(1U << 16);
  vmm::GuestMemory memory(kRam, limited.make_ram(kRam));
  fill(memory);
  EXPECT_THROW(limited.keep({kVm, "guest", token(1)}, memory, all()), std::runtime_error);
  EXPECT_TRUE(files().empty());
}

TEST_F(RamFile, OfATornTakingGoesWithTheNextOperation) {
  ImageStore store = open();
  keep(store);
  { const auto taken = store.claim(kVm, kRam); }  // the process ends here
  EXPECT_EQ(files().size(), 1U);
  EXPECT_TRUE(store.list().empty());
  EXPECT_TRUE(files().empty());
}

}  // namespace
}  // namespace migration
