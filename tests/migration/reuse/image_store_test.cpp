#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "migration/reuse/hash_pages.hpp"
#include "tests/migration/reuse/store_fixture.hpp"

namespace migration {
namespace {

/// On a tmpfs, and on the file system of /tmp.
class ImageStoreTest : public StoreFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  ImageStoreTest() : StoreFixture(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(EachFileSystem, ImageStoreTest, ::testing::Values("/dev/shm", "/tmp"));

TEST_P(ImageStoreTest, GivesBackWhatItKept) {
  ImageStore store = open();
  const ImageStore::Kept kept = keep(store);
  EXPECT_EQ(kept.pages, kPages);
  EXPECT_LT(kept.bytes, 1U << 20);  // pages that were never touched cost nothing
  EXPECT_TRUE(store.has(kVm, token(1)));
  EXPECT_FALSE(store.has(kVm, token(2)));
  EXPECT_FALSE(store.has(kOther, token(1)));

  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  EXPECT_EQ(taken->token, token(1));
  EXPECT_EQ(taken->held, all());
  ASSERT_EQ(taken->hashes.size(), kPages);
  const vmm::GuestMemory memory = full_memory();
  EXPECT_EQ(taken->hashes, hash_pages(memory, all(), all(), taken->key));
  EXPECT_EQ(taken->memory.pages({20, 1})[20], std::byte{21});
  EXPECT_EQ(told_, "");
}

TEST_P(ImageStoreTest, GivesAnImageOnce) {
  ImageStore store = open();
  keep(store);
  const auto first = store.claim(kVm, kRam);
  EXPECT_TRUE(first);
  EXPECT_FALSE(store.claim(kVm, kRam));
  EXPECT_TRUE(was_told("there is no image of " + kVm));
  EXPECT_FALSE(store.has(kVm, token(1)));
}

TEST_P(ImageStoreTest, GivesAnImageToOneOfTwo) {
  ImageStore store = open();
  keep(store);
  std::optional<ImageStore::Taken> mine;
  std::optional<ImageStore::Taken> yours;
  {
    ImageStore other(path_);
    const std::jthread thread([&] { yours = other.claim(kVm, kRam); });
    mine = store.claim(kVm, kRam);
  }
  EXPECT_NE(mine.has_value(), yours.has_value());
}

TEST_P(ImageStoreTest, KeepsOnlyThePagesThatItIsToldTo) {
  ImageStore store = open();
  vmm::GuestMemory memory = full_memory();
  const auto held = pages({{0, 50}, {70, 1}});
  EXPECT_EQ(store.keep({kVm, "guest", token(1)}, memory, held).pages, 51U);
  const auto list = store.list();
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].held, 51U);
  EXPECT_EQ(list[0].dropped, kPages - 51);
  EXPECT_LE(allocated(file(".ram")), 41 * vmm::kPageSize);

  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  EXPECT_EQ(taken->held, held);
  EXPECT_EQ(taken->hashes.size(), 51U);
  EXPECT_EQ(taken->memory.pages({60, 1})[60], std::byte{0});
  EXPECT_EQ(taken->memory.pages({70, 1})[70], std::byte{71});
}

TEST_P(ImageStoreTest, ReplacesAnOlderImageOfTheVm) {
  ImageStore store = open();
  keep(store, 1);
  keep(store, 2);
  EXPECT_EQ(store.list().size(), 1U);
  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  EXPECT_EQ(taken->token, token(2));
  EXPECT_EQ(taken->memory.pages({20, 1})[20], std::byte{22});
}

TEST_P(ImageStoreTest, GivesUpPagesAndTheirMemory) {
  ImageStore store = open();
  keep(store);
  const std::uint64_t before = allocated(file(".ram"));
  EXPECT_TRUE(store.drop_pages(kVm, token(1), pages({{20, 30}, {4000, 1}})));
  EXPECT_EQ(before - allocated(file(".ram")), 30 * vmm::kPageSize);
  EXPECT_TRUE(store.drop_pages(kVm, token(1), pages({{20, 30}})));

  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  auto expected = all();
  expected -= pages({{20, 30}, {4000, 1}});
  EXPECT_EQ(taken->held, expected);
  EXPECT_EQ(told_, "");
}

TEST_P(ImageStoreTest, GivesUpNoPagesOfAnotherDeparture) {
  ImageStore store = open();
  EXPECT_FALSE(store.drop_pages(kVm, token(1), pages({{20, 1}})));
  keep(store);
  EXPECT_FALSE(store.drop_pages(kVm, token(2), pages({{20, 1}})));
  EXPECT_FALSE(store.drop_pages("../" + kVm, token(1), pages({{20, 1}})));
  EXPECT_THROW(store.drop_pages(kVm, token(1), vmm::PageSet(5)), std::invalid_argument);
  EXPECT_EQ(store.list().at(0).held, kPages);
}

TEST_P(ImageStoreTest, HasNothingWhenAllPagesWereGivenUp) {
  ImageStore store = open();
  keep(store);
  EXPECT_TRUE(store.drop_pages(kVm, token(1), all()));
  EXPECT_FALSE(store.claim(kVm, kRam));
  EXPECT_TRUE(was_told("no page of it can be used"));
  EXPECT_TRUE(files().empty());
}

TEST_P(ImageStoreTest, EvictsTheOldestWhenItIsFull) {
  ImageStore store = open();
  const std::uint64_t one = keep(store, 1, kOther).bytes;
  keep(store, 2, kVm);
  ImageStore limited = open(2 * one + one / 2);
  const std::string third = "12345678-0000-4111-8222-333344445555";
  keep(limited, 3, third);
  const auto list = limited.list();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].vm_id, kVm);
  EXPECT_EQ(list[1].vm_id, third);
  EXPECT_TRUE(was_told("image of " + kOther));
  EXPECT_EQ(files().size(), 6U);
}

TEST_P(ImageStoreTest, LeavesNothingOfAVmThatIsTooLargeForIt) {
  ImageStore store = open();
  const std::uint64_t one = keep(store, 1, kVm).bytes;
  keep(store, 2, kOther);
  ImageStore limited = open(one / 2);
  EXPECT_THROW(keep(limited, 3, kVm), std::runtime_error);
  EXPECT_FALSE(limited.has(kVm, token(1)));
  EXPECT_TRUE(limited.has(kOther, token(2)));
  EXPECT_EQ(files().size(), 3U);
}

TEST_P(ImageStoreTest, ListsTheOldestFirstAndDropsById) {
  ImageStore store = open();
  EXPECT_TRUE(store.list().empty());
  keep(store, 1, kOther);
  keep(store, 2, kVm);
  const auto list = store.list();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].vm_id, kOther);
  EXPECT_EQ(list[1].vm_id, kVm);
  EXPECT_EQ(list[1].name, "guest");
  EXPECT_EQ(list[1].token, token(2));
  EXPECT_EQ(list[1].memory_bytes, kRam);
  EXPECT_GT(list[1].bytes, 100 * vmm::kPageSize);
  EXPECT_TRUE(store.drop(kOther));
  EXPECT_FALSE(store.drop(kOther));
  EXPECT_FALSE(store.drop("nonsense"));
  EXPECT_EQ(files().size(), 3U);
}

/// As if the clock had been set back by an hour since.
TEST_P(ImageStoreTest, ListsAnImageBehindThoseThatWereThereWhateverTheClockSays) {
  constexpr std::int64_t kHour = 3'600'000'000;
  ImageStore store = open();
  keep(store);
  {
    std::ifstream in(file(".image"), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    Manifest manifest = decode_manifest(std::as_bytes(std::span(text)));
    manifest.kept_at += kHour;
    const wire::Bytes bytes = encode(manifest);
    std::ofstream(file(".image"), std::ios::binary | std::ios::in)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  keep(store, 2, kOther);
  const auto images = store.list();
  ASSERT_EQ(images.size(), 2U);
  EXPECT_EQ(images[0].vm_id, kVm);
  EXPECT_EQ(images[1].vm_id, kOther);
}

TEST_P(ImageStoreTest, RefusesWhatIsNoIdOfAVm) {
  ImageStore store = open();
  EXPECT_THROW(keep(store, 1, "../evil"), std::invalid_argument);
  EXPECT_FALSE(store.claim("../evil", kRam));
  EXPECT_TRUE(files().empty());
}

TEST_P(ImageStoreTest, SaysThatAnotherHasItLocked) {
  ImageStore store = open();
  keep(store);
  ImageStore hurried(
      path_, ImageStore::kUnlimited, [this](const std::string& text) { told_ += text; }, nullptr,
      std::chrono::milliseconds(1));
  {
    const auto lock = store::Directory(path_).lock(std::chrono::milliseconds(0));
    EXPECT_FALSE(hurried.claim(kVm, kRam));
    EXPECT_TRUE(was_told("locked by another process"));
    EXPECT_THROW(keep(hurried), std::runtime_error);
    EXPECT_THROW(static_cast<void>(hurried.list()), std::runtime_error);
  }
  EXPECT_TRUE(hurried.claim(kVm, kRam));
}

TEST_P(ImageStoreTest, IsForItsUserAlone) {
  static_cast<void>(open());
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  ASSERT_EQ(::chmod(path_.c_str(), 0750), 0);
  EXPECT_THROW(open(), std::runtime_error);
  ASSERT_EQ(::chmod(path_.c_str(), 0700), 0);
  if (::chown(path_.c_str(), 12345, 12345) < 0) GTEST_SKIP() << "chown needs root";
  EXPECT_THROW(open(), std::runtime_error);
}

TEST_P(ImageStoreTest, CannotBeAFile) {
  std::ofstream(path_) << "x";
  EXPECT_THROW(open(), std::system_error);
}

}  // namespace
}  // namespace migration
