#include <stdexcept>

#include "migration/reuse/hash_pages.hpp"
#include "tests/migration/reuse/store_fixture.hpp"

namespace migration {
namespace {

/// What is found after a crash, a disk's fault, or somebody's hands.
class TornStore : public StoreFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  TornStore() : StoreFixture(GetParam()) {
    ImageStore store = open();
    keep(store, 1, kVm);
    keep(store, 2, kOther);
  }
  /// That the image is not used, why, and that nothing of it stays.
  void expect_no_image(const std::string& why) {
    ImageStore store = open();
    EXPECT_FALSE(store.claim(kVm, kRam));
    EXPECT_TRUE(was_told(why)) << told_;
    EXPECT_EQ(files().size(), 3U) << "of " << kVm;
    EXPECT_TRUE(store.claim(kOther, kRam)) << told_;
  }
  void swap(const std::string& suffix) {
    const auto aside = path_ / "aside";
    std::filesystem::rename(file(suffix), aside);
    std::filesystem::rename(file(suffix, kOther), file(suffix));
    std::filesystem::rename(aside, file(suffix, kOther));
  }
};
INSTANTIATE_TEST_SUITE_P(EachFileSystem, TornStore, ::testing::Values("/dev/shm", "/tmp"));

TEST_P(TornStore, WithoutAManifestHasNoImage) {
  std::filesystem::remove(file(".image"));
  expect_no_image("there is no image");
}

TEST_P(TornStore, WithAManifestThatWasNotRenamedHasNoImage) {
  std::filesystem::rename(file(".image"), file(".image.new"));
  expect_no_image("there is no image");
}

TEST_P(TornStore, WithoutRamHasNoImage) {
  std::filesystem::remove(file(".ram"));
  expect_no_image("its RAM is not there");
}

TEST_P(TornStore, WithoutHashesHasNoImage) {
  std::filesystem::remove(file(".hashes"));
  expect_no_image("its hashes are not there");
}

TEST_P(TornStore, WithADamagedManifestHasNoImage) {
  flip(file(".image"), 100);
  expect_no_image("checksum does not match");
}

TEST_P(TornStore, WithAnEmptyManifestHasNoImage) {
  std::filesystem::resize_file(file(".image"), 0);
  expect_no_image("too short");
}

TEST_P(TornStore, WithDamagedHashesHasNoImage) {
  flip(file(".hashes"), 800);
  expect_no_image("its hashes are damaged");
}

TEST_P(TornStore, WithShortHashesHasNoImage) {
  std::filesystem::resize_file(file(".hashes"), kPages * kHashBytes - 8);
  expect_no_image("its hashes are cut short");
}

TEST_P(TornStore, WithLongHashesHasNoImage) {
  std::filesystem::resize_file(file(".hashes"), kPages * kHashBytes + 8);
  expect_no_image("too large");
}

TEST_P(TornStore, WithShortRamHasNoImage) {
  std::filesystem::resize_file(file(".ram"), kRam / 2);
  expect_no_image("its RAM has 8388608 bytes");
}

TEST_P(TornStore, WithLongRamHasNoImage) {
  std::filesystem::resize_file(file(".ram"), kRam * 2);
  expect_no_image("its RAM has 33554432 bytes");
}

TEST_P(TornStore, WithTheManifestOfAnotherVmHasNoImage) {
  std::filesystem::copy_file(file(".image", kOther), file(".image"),
                             std::filesystem::copy_options::overwrite_existing);
  expect_no_image("that of another VM");
}

TEST_P(TornStore, WithTheHashesOfAnotherVmHasNoImage) {
  swap(".hashes");
  ImageStore store = open();
  EXPECT_FALSE(store.claim(kVm, kRam));
  EXPECT_FALSE(store.claim(kOther, kRam));
  EXPECT_TRUE(files().empty());
}

TEST_P(TornStore, WithTheRamOfAnotherVmHoldsOnlyWhatIsTheSame) {
  swap(".ram");
  ImageStore store = open();
  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken);
  auto expected = all();
  expected -= pages({{10, 100}});
  EXPECT_EQ(taken->held, expected);
  EXPECT_TRUE(was_told("100 of 4096 pages are damaged"));
}

TEST_P(TornStore, HoldsNoPageThatIsDamaged) {
  flip(file(".ram"), 50 * vmm::kPageSize + 4095);
  flip(file(".ram"), 300 * vmm::kPageSize);
  ImageStore store = open();
  const auto taken = store.claim(kVm, kRam);
  ASSERT_TRUE(taken) << told_;
  auto expected = all();
  expected -= pages({{50, 1}, {300, 1}});
  EXPECT_EQ(taken->held, expected);
  EXPECT_EQ(taken->hashes, hash_pages(full_memory(), expected, expected, taken->key));
  if (!store.can_hold_ram()) return;  // where huge pages hide what is missing
  vmm::PageSet data(kPages);
  taken->memory.add_populated({0, kPages}, data);
  EXPECT_EQ(data, pages({{10, 40}, {51, 59}}));  // a damaged page is a missing page
}

TEST_P(TornStore, OfAnotherSizeOfRamHasNoImage) {
  ImageStore store = open();
  EXPECT_FALSE(store.claim(kVm, 2 * kRam));
  EXPECT_TRUE(was_told("16777216 bytes of RAM, and the VM has 33554432"));
  EXPECT_EQ(files().size(), 3U);
}

TEST_P(TornStore, FollowsNoLink) {
  std::filesystem::rename(file(".ram"), directory_ / "elsewhere");
  std::filesystem::create_symlink(directory_ / "elsewhere", file(".ram"));
  expect_no_image(".ram");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "elsewhere"));
}

TEST_P(TornStore, WantsNoFileWithASecondName) {
  std::filesystem::create_hard_link(file(".ram"), directory_ / "second");
  expect_no_image("2 names");
}

TEST_P(TornStore, WantsNoFileThatOthersMayRead) {
  std::filesystem::permissions(file(".ram"), std::filesystem::perms(0644));
  expect_no_image("has mode 644");
}

TEST_P(TornStore, WantsNoFileOfAnotherUser) {
  if (::chown(file(".ram").c_str(), 12345, 12345) < 0) GTEST_SKIP() << "chown needs root";
  expect_no_image("belongs to another user");
}

TEST_P(TornStore, WaitsForNoPipe) {
  std::filesystem::remove(file(".image"));
  ASSERT_EQ(::mkfifo(file(".image").c_str(), 0600), 0);
  expect_no_image("is no regular file");
}

TEST_P(TornStore, IsTidiedByAListAndLosesOnlyWhatNoImageNeeds) {
  std::filesystem::remove(file(".image"));
  std::ofstream(path_ / "notes") << "of the user";
  ImageStore store = open();
  EXPECT_EQ(store.list().size(), 1U);
  EXPECT_EQ(files(), (std::vector<std::string>{kOther + ".hashes", kOther + ".image",
                                               kOther + ".ram", "notes"}));
}

TEST_P(TornStore, ListsNoUnsoundImageAndEvictsItFirst) {
  flip(file(".image", kOther), 100);
  ImageStore store = open();
  ASSERT_EQ(store.list().size(), 1U);
  EXPECT_TRUE(was_told("checksum"));
  const std::uint64_t one = store.list()[0].bytes;
  ImageStore limited = open(2 * one + one / 2);
  keep(limited, 3, "12345678-0000-4111-8222-333344445555");
  EXPECT_FALSE(std::filesystem::exists(file(".ram", kOther)));
  EXPECT_TRUE(limited.has(kVm, token(1)));
}

TEST_P(TornStore, GivesUpAnImageWhosePagesCannotBeGivenUp) {
  std::filesystem::remove(file(".ram"));
  ImageStore store = open();
  EXPECT_THROW(store.drop_pages(kVm, token(1), pages({{20, 1}})), std::runtime_error);
  EXPECT_FALSE(store.has(kVm, token(1)));
}

}  // namespace
}  // namespace migration
