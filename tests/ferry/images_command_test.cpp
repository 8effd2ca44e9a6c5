#include "ferry/images_command.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ferry/exit_status.hpp"

namespace ferry {
namespace {

constexpr std::int64_t kNow = 1'790'000'000'000'000;
const std::string kVm = "0a1b2c3d-0000-4111-8222-333344445555";

std::vector<migration::ImageStore::Entry> example_images() {
  migration::ImageStore::Entry entry;
  entry.vm_id = kVm;
  entry.name = "web\x1b[2J";
  entry.kept_at = kNow - std::int64_t{3} * 3600 * 1'000'000;
  entry.memory_bytes = 512 << 20;
  entry.held = 100'000;
  entry.dropped = 31'072;
  entry.bytes = 40 << 20;
  return {entry};
}

TEST(ImagesTable, ShowsEachImageInALine) {
  const std::string table = images_table(example_images(), kNow);
  for (const char* part : {"0a1b2c3d-", "3 h", "512.0 MiB", "100,000", "31,072", "40.0 MiB"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << " in\n" << table;
  }
  EXPECT_EQ(std::ranges::count(table, '\n'), 2);
}

TEST(ImagesTable, LetsNoNameDriveTheTerminal) {
  const std::string table = images_table(example_images(), kNow);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  EXPECT_NE(table.find("web?[2J"), std::string::npos);
}

TEST(ImagesTable, SaysThatThereIsNone) {
  EXPECT_EQ(images_table({}, kNow), "no kept images\n");
  EXPECT_EQ(images_json({}, kNow).dump(), R"({"images":[]})");
}

TEST(ImagesJson, HasEveryNumberWithoutAUnit) {
  const nlohmann::json image = images_json(example_images(), kNow).at("images").at(0);
  EXPECT_EQ(image.at("id"), kVm);
  EXPECT_EQ(image.at("age_s"), 3 * 3600);
  EXPECT_EQ(image.at("kept_at"), 1'790'000'000 - 3 * 3600);
  EXPECT_EQ(image.at("memory"), 512 << 20);
  EXPECT_EQ(image.at("pages_held"), 100'000);
  EXPECT_EQ(image.at("pages_dropped"), 31'072);
  EXPECT_EQ(image.at("bytes"), 40 << 20);
  EXPECT_EQ(image.at("token"), std::string(32, '0'));
}

TEST(ImagesTable, ShowsNoAgeBelowZero) {
  EXPECT_NE(images_table(example_images(), 0).find(" 0 s"), std::string::npos);
}

class ImagesCommandTest : public ::testing::Test {
 public:
  ImagesCommandTest(const ImagesCommandTest&) = delete;
  ImagesCommandTest& operator=(const ImagesCommandTest&) = delete;
  ~ImagesCommandTest() override { std::filesystem::remove_all(directory_); }

 protected:
  ImagesCommandTest() {
    std::string name = ::testing::TempDir() + "ferry-images-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
  }

  static ExitStatus status_of(const ImagesCommand& command) {
    try {
      return static_cast<ExitStatus>(images(command));
    } catch (const Failure& failure) {
      return failure.status();
    }
  }
  std::string directory_;
};

TEST_F(ImagesCommandTest, DropsAnImageThatIsThereOnly) {
  vmm::GuestMemory memory(16U << 20);
  vmm::PageSet held(memory.page_count());
  migration::ImageStore(directory_).keep({kVm, "guest", {}}, memory, held);
  EXPECT_EQ(status_of({directory_, std::nullopt, true}), ExitStatus::ok);
  EXPECT_EQ(status_of({directory_, kVm, false}), ExitStatus::ok);
  EXPECT_EQ(status_of({directory_, kVm, false}), ExitStatus::failed);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(ImagesCommandTest, MakesNoStoreAndMissesOneThatWasNamed) {
  EXPECT_EQ(status_of({directory_ + "/none", std::nullopt, false}), ExitStatus::no_input);
  EXPECT_EQ(status_of({directory_ + "/none", kVm, false}), ExitStatus::no_input);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(ImagesCommandTest, RefusesAStoreThatIsOpenToOthers) {
  ASSERT_EQ(::chmod(directory_.c_str(), 0755), 0);
  EXPECT_EQ(status_of({directory_, std::nullopt, false}), ExitStatus::no_permission);
}

}  // namespace
}  // namespace ferry
