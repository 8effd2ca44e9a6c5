#include "migration/destination/returned_image.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "migration/net/event_loop.hpp"
#include "migration/reuse/hash_pages.hpp"
#include "tests/migration/fault_peer.hpp"
#include "tests/migration/reuse/store_fixture.hpp"
#include "tests/migration/wire_bytes.hpp"

namespace migration::destination {
namespace {

/// An image of departure 1 of kVm is in the store.
class ReturnedImageTest : public StoreFixture {
 protected:
  ReturnedImageTest() : StoreFixture("/dev/shm") { keep(*store_); }

  /// The VM comes back.
  void offer(Reuse reuse, unsigned last_departure = 1) {
    offer_.reuse = reuse;
    offer_.image_token = token(last_departure);
    memory_.emplace(image_.make_ram(kVm, kRam, reuse));
    target_.emplace(*memory_);
    image_.use(offer_, *target_, accept_);
  }
  [[nodiscard]] std::byte content(vmm::PageIndex page) { return memory_->pages({page, 1})[page]; }
  void copy(const std::vector<Copy>& copies) { image_.copy(copies, *target_); }

  std::shared_ptr<ImageStore> store_ = std::make_shared<ImageStore>(path_);
  std::string said_;
  ReturnedImage image_{store_, [this](const std::string& text) { said_ += text; }};
  wire::Offer offer_;
  wire::Accept accept_;
  std::optional<vmm::GuestMemory> memory_;
  std::optional<PageTarget> target_;
};

TEST_F(ReturnedImageTest, IsRamForTheReturn) {
  offer(Reuse::automatic);
  EXPECT_TRUE(image_.used());
  EXPECT_EQ(content(20), std::byte{21});
  EXPECT_EQ(accept_.image_by, Reuse::generation);
  EXPECT_EQ(accept_.image_pages, kPages);
  EXPECT_FALSE(store_->has(kVm, token(1)));
}

TEST_F(ReturnedImageTest, ComparesPagesThatTheSourceSuspects) {
  offer(Reuse::automatic);
  EXPECT_FALSE(image_.compares());
  boost::asio::io_context context;
  FaultPeer peer;
  net::spawn(
      context.get_executor(),
      image_.send(std::make_shared<net::Connection>(peer.socket(context), kPeerDeadline), accept_));
  context.run_for(std::chrono::milliseconds(100));
  const auto held = peer.receive(wire::FrameType::held);
  ASSERT_TRUE(held);
  EXPECT_EQ(wire::decode_missing(*held, kPages).pages, (std::vector<vmm::PageRange>{{0, kPages}}));

  ASSERT_TRUE(image_.compares());
  wire::Hashes theirs{{{20, 2}}, hash_pages(*memory_, pages({{20, 2}}), all(), accept_.image_key)};
  theirs.hashes.at(1)[0] ^= std::byte{1};
  const auto same = wire::decode_missing(image_.compare(theirs), kPages);
  EXPECT_EQ(same.pages, (std::vector<vmm::PageRange>{{20, 1}}));
  wire::expect_error([&] { static_cast<void>(image_.compare(theirs)); }, "out of order");
  image_.stop_comparing();
  EXPECT_FALSE(image_.compares());
}

TEST_F(ReturnedImageTest, IsComparedByContentWhereTheSourceKnowsNoGeneration) {
  offer(Reuse::automatic, 2);
  EXPECT_EQ(accept_.image_by, Reuse::content);
}

TEST_F(ReturnedImageTest, IsDiscardedWhereTheSourceWantsAGenerationThatItDoesNotKnow) {
  offer(Reuse::generation, 2);
  EXPECT_EQ(accept_.image_pages, 0U);
  EXPECT_EQ(content(20), std::byte{0});
  EXPECT_NE(said_.find("is not used"), std::string::npos);
}

TEST_F(ReturnedImageTest, IsDroppedWhereTheSourceWantsNone) {
  offer(Reuse::off);
  EXPECT_FALSE(image_.used());
  EXPECT_EQ(accept_.image_by, Reuse::off);
  EXPECT_EQ(content(20), std::byte{0});
  EXPECT_FALSE(store_->has(kVm, token(1)));
}

TEST_F(ReturnedImageTest, CopiesUntilAnEmptyListComes) {
  offer(Reuse::automatic);
  EXPECT_TRUE(image_.copies());
  copy({{.to = 200, .from = 20, .count = 1}});
  EXPECT_EQ(memory_->pages({200, 1})[20], std::byte{21});
  EXPECT_TRUE(image_.copies());
  copy({});
  EXPECT_FALSE(image_.copies());
}

TEST_F(ReturnedImageTest, CopiesNoMorePagesThanRamHas) {
  offer(Reuse::automatic);
  copy({{.to = kPages / 2, .from = 0, .count = kPages / 2}});
  copy({{.to = 0, .from = kPages / 2, .count = kPages / 2}});
  wire::expect_error([this] { copy({{.to = 1, .from = 0, .count = 1}}); }, "more than once");
}

}  // namespace
}  // namespace migration::destination
