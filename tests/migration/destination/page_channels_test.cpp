#include "migration/destination/page_channels.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "migration/pages/ram_sink.hpp"
#include "tests/migration/fault_peer.hpp"
#include "tests/migration/wire_bytes.hpp"

namespace migration::destination {
namespace {

using Clock = std::chrono::steady_clock;

/// Two channels, with the source at their other ends.
class PageChannelsTest : public ::testing::Test {
 protected:
  void open(std::uint32_t index) {
    peers_.push_back(std::make_unique<FaultPeer>());
    channels_.open(index, peers_.back()->socket(context_),
                   std::make_unique<RamSink>(channels_.target()));
  }
  void end_round(std::size_t peer, std::uint32_t round) {
    peers_.at(peer)->send(wire::frame_of(wire::FrameType::round_end, wire::encode_round(round)));
  }
  void run_until(const std::function<bool()>& condition) {
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (!condition() && Clock::now() < end) run_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }
  void run_for(Clock::duration time) {
    context_.run_for(time);
    context_.restart();
  }

  boost::asio::io_context context_;
  vmm::GuestMemory memory_{vmm::kMinMemory};
  std::vector<std::uint32_t> ended_;
  int lost_ = 0;
  std::vector<std::unique_ptr<FaultPeer>> peers_;
  PageChannels channels_{context_,
                         memory_,
                         2,
                         {.ended = [this](std::uint32_t round) { ended_.push_back(round); },
                          .lost = [this](const std::exception_ptr&) { ++lost_; }}};
};

TEST_F(PageChannelsTest, ExpectEachChannelOnce) {
  EXPECT_TRUE(channels_.expects(0));
  EXPECT_TRUE(channels_.expects(1));
  EXPECT_FALSE(channels_.expects(2));
  open(1);
  EXPECT_FALSE(channels_.expects(1));
  EXPECT_FALSE(channels_.all_open());
  open(0);
  EXPECT_TRUE(channels_.all_open());
}

TEST_F(PageChannelsTest, BeginARoundOnceAllHaveEndedTheOneBefore) {
  open(0);
  open(1);
  channels_.target().in_round = 7;
  end_round(0, 1);
  run_until([this] { return ended_.size() == 1; });
  EXPECT_FALSE(channels_.end_round());
  EXPECT_EQ(channels_.round(), 1U);
  end_round(1, 1);
  run_until([this] { return ended_.size() == 2; });
  EXPECT_TRUE(channels_.end_round());
  EXPECT_EQ(channels_.round(), 2U);
  EXPECT_EQ(channels_.target().tally->round, 2U);
  EXPECT_EQ(channels_.target().in_round, 0U);
}

TEST_F(PageChannelsTest, GiveTheSourceTimeToSayWhyOneIsLost) {
  open(0);
  peers_.at(0)->hang_up();
  run_for(std::chrono::milliseconds(100));
  EXPECT_EQ(lost_, 0);
  run_until([this] { return lost_ == 1; });
}

/// The source waits as long for a reason, and closes then.
TEST_F(PageChannelsTest, SayAtOnceWhatThisSideFoundWrong) {
  open(0);
  peers_.at(0)->send(wire::frame_of(wire::FrameType::round_end, {}));
  const auto begun = Clock::now();
  run_until([this] { return lost_ == 1; });
  EXPECT_LT(Clock::now() - begun, std::chrono::milliseconds(400));
}

TEST_F(PageChannelsTest, HearNothingOfAnEarlierLink) {
  open(0);
  open(1);
  end_round(0, 1);
  run_until([this] { return ended_.size() == 1; });
  EXPECT_FALSE(channels_.end_round());
  peers_.at(1)->hang_up();
  run_for(std::chrono::milliseconds(50));  // the time to say why has begun
  channels_.renew();
  EXPECT_TRUE(channels_.expects(0));
  EXPECT_EQ(channels_.round(), 2U);  // the first will not be ended
  run_for(std::chrono::milliseconds(600));
  EXPECT_EQ(lost_, 0);
  EXPECT_EQ(ended_.size(), 1U);
  // That one channel had ended the round counts for none of this link.
  open(0);
  end_round(2, 2);
  run_until([this] { return ended_.size() == 2; });
  EXPECT_EQ(ended_.back(), 2U);
  EXPECT_FALSE(channels_.end_round());
}

TEST_F(PageChannelsTest, HearNothingOnceTheyAreClosed) {
  open(0);
  channels_.finish();
  EXPECT_TRUE(peers_.at(0)->ended());
  run_for(std::chrono::milliseconds(600));
  EXPECT_EQ(lost_, 0);
}

}  // namespace
}  // namespace migration::destination
