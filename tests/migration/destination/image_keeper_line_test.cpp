#include "migration/destination/image_keeper_line.hpp"

#include "tests/migration/connection_fixture.hpp"

namespace migration::destination {
namespace {

using Ranges = std::vector<vmm::PageRange>;

constexpr std::uint64_t kRamPages = 4096;

class ImageKeeperLineTest : public net::Connections {
 protected:
  ImageKeeperLineTest() { line_.expect(kRamPages); }

  void drop(const Ranges& pages) { line_.on_dropped(wire::encode_missing({0, kRamPages}, pages)); }
  static std::vector<wire::Hashes> one_page() { return {{{{3, 1}}, {PageHash{}}}}; }

  int came_ = 0;
  Ranges dropped_;
  ImageKeeperLine line_{context_,
                        {.came = [this] { ++came_; },
                         .dropped =
                             [this](const Ranges& pages) {
                               dropped_.insert(dropped_.end(), pages.begin(), pages.end());
                             }}};
};

TEST_F(ImageKeeperLineTest, TellsAKeeperThatListens) {
  line_.connect(connect());
  EXPECT_EQ(came_, 1);
  EXPECT_TRUE(line_.listens());
  line_.tell_changed(one_page());
  EXPECT_FALSE(line_.listens());  // it is not with the kernel yet
  run_until([this] { return line_.listens(); });
  const auto told = peer_.receive(wire::FrameType::changed);
  ASSERT_TRUE(told);
  EXPECT_EQ(wire::decode_hashes(*told, kRamPages).ranges, (Ranges{{3, 1}}));
}

TEST_F(ImageKeeperLineTest, TellsNobodyWhereNobodyListens) {
  EXPECT_FALSE(line_.listens());
  line_.connect(connect());
  line_.disconnect();
  EXPECT_FALSE(line_.listens());
  line_.tell_changed(one_page());
  context_.run_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(line_.listens());
}

TEST_F(ImageKeeperLineTest, GoesOnWhenTheKeeperIsAway) {
  const auto connection = connect();
  line_.connect(connection);
  connection->close(std::make_exception_ptr(std::runtime_error("away")));
  line_.tell_changed(one_page());
  run_until([this] { return line_.listens(); });
  EXPECT_TRUE(line_.listens());
}

TEST_F(ImageKeeperLineTest, HearsOfEachDroppedPageOnceFromOneKeeper) {
  drop({{5, 2}, {9, 1}});
  drop({{5, 2}, {20, 1}});
  EXPECT_EQ(dropped_, (Ranges{{5, 2}, {9, 1}, {20, 1}}));
  line_.connect(connect());
  dropped_.clear();
  drop({{5, 2}});
  EXPECT_EQ(dropped_, (Ranges{{5, 2}}));
}

TEST_F(ImageKeeperLineTest, TakesNoFrameOfPagesThatRamDoesNotHave) {
  wire::expect_error(
      [this] {
        line_.on_dropped(wire::encode_missing({0, kRamPages + 64}, Ranges{{kRamPages, 1}}));
      },
      "");
  line_.expect(4 * wire::kMaxMissingPages);
  wire::expect_error(
      [this] {
        line_.on_dropped(wire::encode_all_missing({0, wire::kMaxMissingPages + 1}));
      },
      "too many pages");
  EXPECT_TRUE(dropped_.empty());
}

}  // namespace
}  // namespace migration::destination
