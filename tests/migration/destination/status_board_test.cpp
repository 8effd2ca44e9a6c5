#include "migration/destination/status_board.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace migration::destination {
namespace {

using Stage = Ownership::Stage;
using Event = Ownership::Event;
using Fetching = StatusBoard::Status::Fetching;

TEST(StatusBoard, ShowsWhatIsOfUseAtAStage) {
  StatusBoard board;
  EXPECT_EQ(board.read(Stage::listening, std::nullopt).state, "listening");
  EXPECT_EQ(board.read(Stage::listening, std::nullopt).detail, "waits for a VM");
  EXPECT_FALSE(board.read(Stage::listening, std::nullopt).listening);
  board.show_address(parse_address("unix:/tmp/x"));
  EXPECT_TRUE(board.read(Stage::listening, std::nullopt).listening);

  const auto tally = std::make_shared<PageTally>();
  board.show_offer({.id = "1", .name = "guest"}, true, tally);
  tally->pages = 7;
  const auto receiving = board.read(Stage::receiving, Fetching{});
  EXPECT_EQ(receiving.detail, "receiving 'guest'");
  ASSERT_TRUE(receiving.receiving);
  EXPECT_EQ(receiving.receiving->pages, 7U);
  EXPECT_FALSE(receiving.fetching);  // the VM is not here yet

  const auto unlinked =
      board.read(Stage::fetching_unlinked, Fetching{.missing = 3, .latencies = {}});
  EXPECT_EQ(unlinked.state, "paused");
  ASSERT_TRUE(unlinked.fetching);
  EXPECT_EQ(unlinked.fetching->missing, 3U);
  EXPECT_TRUE(unlinked.fetching->link_lost);
  EXPECT_FALSE(unlinked.unheard);
  EXPECT_TRUE(board.read(Stage::running, std::nullopt).unheard);
  EXPECT_FALSE(board.read(Stage::refused, std::nullopt).receiving);
}

TEST(StatusBoard, ShowsTheReportOfAVmThatIsHere) {
  StatusBoard board;
  EXPECT_FALSE(board.has_report());
  board.show_report({});
  EXPECT_TRUE(board.has_report());
  EXPECT_TRUE(board.read(Stage::settled, std::nullopt).report);
  EXPECT_FALSE(board.read(Stage::receiving, std::nullopt).report);
}

TEST(Ownership, TellsWhatAnEventHasLedTo) {
  Ownership ownership;
  EXPECT_TRUE(ownership.allows(Event::offer));
  const Ownership::Change change = ownership.advance(Event::offer);
  EXPECT_TRUE(change.step.allowed);
  EXPECT_EQ(change.before, Stage::listening);
  EXPECT_EQ(change.after, Stage::receiving);
  EXPECT_EQ(ownership.stage(), Stage::receiving);
}

TEST(Ownership, IsNotChangedByAWishThatIsRefused) {
  Ownership ownership;
  const Ownership::Change change = ownership.advance(Event::force);
  EXPECT_FALSE(change.step.allowed);
  EXPECT_EQ(change.step.actions.size(), 0U);
  EXPECT_EQ(ownership.stage(), Stage::listening);
}

}  // namespace
}  // namespace migration::destination
