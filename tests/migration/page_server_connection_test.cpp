#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>

#include "tests/migration/page_server_fixture.hpp"

namespace migration {
namespace {

TEST_F(PageServing, SendsNothingOfALostLinkOnTheNext) {
  make({{0, 20}});
  connect();
  peer_->hang_up();
  EXPECT_NE(failure(), "has not failed");
  const PageList pages = {5, 6};
  EXPECT_THROW(server_->send_now(pages), std::system_error);
  server_->hang_up();
  vmm::PageSet missing(memory_.page_count());
  missing.set(vmm::PageRange{0, 20});
  server_->reset(missing);
  connect();
  peer_->request(9);
  EXPECT_EQ(answer().page, 9U);
}

TEST_F(PageServing, AnUnsoundRequestFailsTheConnection) {
  make({{0, 20}});
  connect();
  peer_->request(memory_.page_count());
  EXPECT_EQ(failure(), "the peer sent an unsound page request");
}

TEST_F(PageServing, SomethingElseThanARequestFailsTheConnection) {
  make({{0, 20}});
  connect();
  wire::Bytes frame;
  wire::put_frame(frame, wire::FrameType::round_end, wire::encode_round(1));
  frame.resize(wire::kHeaderBytes + 8);
  peer_->send(frame);
  EXPECT_NE(failure().find("something else than a page request"), std::string::npos);
}

TEST_F(PageServing, MoreRequestsThanPagesFailTheConnection) {
  make({{0, 20}});
  connect();
  for (std::uint64_t i = 1; i < memory_.page_count(); ++i) peer_->request(3);
  EXPECT_EQ(answer().page, 3U);
  peer_->request(9);
  EXPECT_EQ(answer().page, 9U);
  peer_->request(10);
  EXPECT_EQ(failure(), "the destination asks for more pages than there are");
  server_->hang_up();
  connect();
  peer_->request(10);
  EXPECT_EQ(answer().page, 10U);
}

TEST_F(PageServing, ADestinationThatHangsUpFailsTheConnection) {
  make({{0, 20}});
  connect();
  peer_->hang_up();
  EXPECT_NE(failure(), "has not failed");
}

TEST_F(PageServing, WithoutPrepagingARoundWaitsUntilAllWasAskedFor) {
  make({{0, 2}}, Prepaging::none);
  connect();
  const auto round = server_->round(1);
  auto chunk = std::async(std::launch::async, [&] { return round->next_chunk(); });
  peer_->request(0);
  EXPECT_EQ(answer().page, 0U);
  EXPECT_EQ(chunk.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  peer_->request(1);
  EXPECT_EQ(answer().page, 1U);
  ASSERT_EQ(chunk.wait_for(kPeerDeadline), std::future_status::ready);
  EXPECT_FALSE(chunk.get());
}

TEST_F(PageServing, WithoutPrepagingARoundWaitsUntilAnOrderIsSet) {
  make({{0, 20}}, Prepaging::none);
  const auto round = server_->round(1);
  auto given = std::async(std::launch::async, [&] { return drain(*round); });
  EXPECT_EQ(given.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  server_->set(Prepaging::linear);
  ASSERT_EQ(given.wait_for(kPeerDeadline), std::future_status::ready);
  EXPECT_EQ(given.get().data.size(), 20U);
}

TEST_F(PageServing, HangingUpEndsTheRoundsAndTheConnection) {
  make({{0, 20}}, Prepaging::none);
  connect();
  const auto round = server_->round(1);
  auto chunk = std::async(std::launch::async, [&] { return round->next_chunk(); });
  server_->hang_up();
  ASSERT_EQ(chunk.wait_for(kPeerDeadline), std::future_status::ready);
  EXPECT_FALSE(chunk.get());
  EXPECT_TRUE(peer_->ended());
}

TEST_F(PageServing, AfterALostLinkTheNextOneBringsWhatIsMissingThen) {
  make({{0, 200}, {2000, 100}});
  connect();
  peer_->request(150);
  answer();
  // Absent pages, then the first 64: 63 of them and page 150 are lost on the way.
  Given given;
  const auto lost = server_->round(1);
  for (int chunk = 0; chunk < 2; ++chunk) given.take(lost->next_chunk().value());
  EXPECT_EQ(given.absent.size(), 100U);
  EXPECT_EQ(given.data.size(), 64U);
  server_->hang_up();
  vmm::PageSet missing(memory_.page_count());
  missing.set(vmm::PageRange{1, 199});
  server_->reset(missing);
  EXPECT_EQ(server_->sent_again(), 64U);
  connect();
  peer_->request(150);
  EXPECT_EQ(answer().page, 150U);
  const Given again = drain(*server_->round(2));
  EXPECT_TRUE(again.absent.empty());
  EXPECT_EQ(again.data.size(), 198U);
  EXPECT_FALSE(std::ranges::count(again.data, 0U) != 0);
  EXPECT_FALSE(std::ranges::count(again.data, 150U) != 0);
}

}  // namespace
}  // namespace migration
