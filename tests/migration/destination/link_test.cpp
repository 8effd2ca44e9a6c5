#include "migration/destination/link.hpp"

#include "tests/migration/connection_fixture.hpp"

namespace migration::destination {
namespace {

using wire::FrameType;

class LinkTest : public net::Connections {
 protected:
  FaultPeer second_;
  Link link_;
};

TEST_F(LinkTest, SaysNothingToNobody) {
  EXPECT_FALSE(link_.is_up());
  link_.send(FrameType::acknowledged);
  link_.close(nullptr);
  link_.close_earlier();
  link_.lose();
  begin(link_.drained());
  EXPECT_EQ(run(), "all is well");
}

TEST_F(LinkTest, SpeaksByTheNewestConnectionAlone) {
  const auto first = connect();
  const auto newest = std::make_shared<net::Connection>(second_.socket(context_), kLongTime);
  link_.take_over(first);
  EXPECT_TRUE(link_.is(first));
  link_.take_over(newest);
  EXPECT_FALSE(link_.is(first));
  link_.send(FrameType::acknowledged);
  begin(link_.drained());
  EXPECT_EQ(run(), "all is well");
  EXPECT_TRUE(second_.receive(FrameType::acknowledged));
  link_.close_earlier();
  EXPECT_TRUE(peer_.ended());
}

TEST_F(LinkTest, HasToAcknowledgeAnewWhenItIsAnother) {
  link_.take_over(connect());
  EXPECT_FALSE(link_.acknowledged());
  link_.acknowledge();
  EXPECT_TRUE(link_.acknowledged());
  link_.take_over(std::make_shared<net::Connection>(second_.socket(context_), kLongTime));
  EXPECT_FALSE(link_.acknowledged());
  begin(link_.drained());
  EXPECT_EQ(run(), "all is well");
}

TEST_F(LinkTest, IsClosedByWhoeverLosesIt) {
  link_.take_over(connect());
  link_.lose();
  EXPECT_FALSE(link_.is_up());
  EXPECT_TRUE(peer_.ended());
}

TEST_F(LinkTest, StaysOpenWhenItIsForgotten) {
  const auto connection = connect();
  link_.take_over(connection);
  link_.forget();
  EXPECT_FALSE(link_.is_up());
  connection->send(FrameType::acknowledged);
  begin(connection->drained());
  EXPECT_EQ(run(), "all is well");
  EXPECT_TRUE(peer_.receive(FrameType::acknowledged));
}

}  // namespace
}  // namespace migration::destination
