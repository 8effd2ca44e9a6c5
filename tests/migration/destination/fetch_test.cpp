#include "migration/destination/fetch.hpp"

#include <gtest/gtest.h>

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "migration/net/event_loop.hpp"
#include "tests/migration/fault_peer.hpp"
#include "tests/migration/wire_bytes.hpp"
#include "tests/vmm/memory/userfault_fixture.hpp"

namespace migration::destination {
namespace {

using Clock = std::chrono::steady_clock;

/// A fetch of which nothing is told yet, with the source at the other end of the fault connection.
class FetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EXPECT_FALSE(fetch_.possible());
    if (const std::string why = fetch_.open_userfault(); !why.empty()) GTEST_SKIP() << why;
    EXPECT_TRUE(fetch_.possible());
  }
  void start() { userfault_ = fetch_.start(memory_, false, false); }
  void miss(vmm::PageRange range) { fetch_.on_missing({range, {range}}, true); }
  void run_until(const std::function<bool()>& condition) {
    const auto end = Clock::now() + kPeerDeadline;
    while (!condition() && Clock::now() < end) {
      context_.run_for(std::chrono::milliseconds(10));
      context_.restart();
    }
    EXPECT_TRUE(condition());
  }

  boost::asio::io_context context_;
  vmm::GuestMemory memory_{vmm::kMinMemory};
  int complete_ = 0;
  std::string lost_;
  std::list<vmm::Reader> readers_;
  FaultPeer peer_;
  std::shared_ptr<const vmm::Userfault> userfault_;  ///< as the machine keeps it
  Fetch fetch_{context_,
               kPeerDeadline,
               nullptr,
               {.complete = [this](bool) { ++complete_; },
                .lost = [this](const std::exception_ptr& why) { lost_ = net::what(why); }}};
};

TEST_F(FetchTest, UsesTheConnectionOnceAllIsToldThatIsMissing) {
  start();
  EXPECT_TRUE(userfault_);
  miss({5, 1});
  EXPECT_TRUE(fetch_.awaits_connection());
  fetch_.connect(peer_.socket(context_));
  EXPECT_FALSE(fetch_.awaits_connection());
  EXPECT_FALSE(fetch_.connected());
  fetch_.on_post_copy();
  EXPECT_TRUE(fetch_.post_copy());
  EXPECT_TRUE(fetch_.connected());
  ASSERT_TRUE(fetch_.status());
  EXPECT_EQ(fetch_.status()->missing, 1U);
}

TEST_F(FetchTest, IsOverWithTheLastPage) {
  start();
  miss({5, 1});
  fetch_.on_post_copy();
  EXPECT_FALSE(fetch_.connected());
  fetch_.connect(peer_.socket(context_));
  vmm::Reader& reader = readers_.emplace_back(memory_.pages({5, 1}).data());
  EXPECT_EQ(peer_.receive_request(), 5U);
  EXPECT_FALSE(fetch_.has_all());
  peer_.send_page(5, wire::PageEncoding::raw, vmm::pages_of(42));
  EXPECT_EQ(reader.value(), std::byte{42});
  run_until([this] { return complete_ == 1; });
  EXPECT_TRUE(fetch_.has_all());
  fetch_.finish();
  EXPECT_FALSE(fetch_.started());
  EXPECT_EQ(fetch_.missing(), 0U);
  EXPECT_EQ(fetch_.latencies().count(), 1U);
  ASSERT_TRUE(fetch_.status());
  EXPECT_EQ(fetch_.status()->missing, 0U);
  EXPECT_EQ(fetch_.status()->latencies.count(), 1U);
}

TEST_F(FetchTest, IsToldOfAConnectionThatIsLostUnlessItHasAnother) {
  start();
  miss({5, 1});
  fetch_.on_post_copy();
  fetch_.connect(peer_.socket(context_));
  peer_.hang_up();
  run_until([this] { return !lost_.empty(); });
  EXPECT_FALSE(fetch_.connected());
  EXPECT_TRUE(fetch_.awaits_connection());
  EXPECT_FALSE(fetch_.begin_loading());
}

// A link that was taken up again is not given up for what an earlier one came to.
TEST_F(FetchTest, IsNotToldOfAnEarlierConnectionAfterwards) {
  start();
  miss({5, 1});
  fetch_.on_post_copy();
  fetch_.connect(peer_.socket(context_));
  EXPECT_TRUE(fetch_.begin_loading());
  vmm::Reader& reader = readers_.emplace_back(memory_.pages({5, 1}).data());
  EXPECT_EQ(peer_.receive_request(), 5U);
  peer_.hang_up();
  EXPECT_EQ(reader.value(), std::byte{0});  // so the fault thread has told, and nobody has heard
  fetch_.disconnect();
  EXPECT_FALSE(fetch_.end_loading());
  context_.run_for(std::chrono::milliseconds(10));
  EXPECT_EQ(lost_, "");
}

TEST_F(FetchTest, EndsLoadingByZeroPagesWhenTheConnectionIsLost) {
  start();
  miss({5, 1});
  fetch_.on_post_copy();
  fetch_.connect(peer_.socket(context_));
  EXPECT_TRUE(fetch_.begin_loading());
  vmm::Reader& reader = readers_.emplace_back(memory_.pages({5, 1}).data());
  EXPECT_EQ(peer_.receive_request(), 5U);
  peer_.hang_up();
  EXPECT_EQ(reader.value(), std::byte{0});
  EXPECT_FALSE(fetch_.end_loading());
}

TEST_F(FetchTest, IsNotToldAgainAndAgainWhatIsMissing) {
  start();
  const vmm::PageRange all{0, memory_.page_count()};
  for (std::uint64_t i = 0; i < wire::kMaxTimesMissing; ++i) miss(all);
  wire::expect_error([&] { miss({0, 1}); }, "again and again");
}

TEST_F(FetchTest, ShowsThatItWaitsForRoom) {
  start();
  miss({5, 1});
  fetch_.on_post_copy();
  EXPECT_TRUE(fetch_.has_room());  // RAM is in no store
  fetch_.set_waits_for_room(true);
  EXPECT_TRUE(fetch_.status()->waits_for_room);
}

}  // namespace
}  // namespace migration::destination
