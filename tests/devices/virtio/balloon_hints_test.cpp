#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "tests/devices/virtio/balloon_fixture.hpp"

namespace devices::virtio {
namespace {

TEST_F(BalloonTest, HearsOfFreePagesWhenItAsks) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  ASSERT_TRUE(balloon_->tells_free_pages());
  EXPECT_EQ(command(), Balloon::kStop);
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(told_, 1);
  EXPECT_GT(command(), Balloon::kDone);
  offer_command(command());
  hint({kFirst, 4});
  report((kFirst + 8) * kPageSize + 1, 3 * kPageSize);
  report((kFirst + 20) * kPageSize, kPageSize - 1);
  offer_command(Balloon::kStop);
  hint({kFirst + 30, 1});
  balloon_->end_free_pages();
  EXPECT_EQ(told_, 2);
  EXPECT_EQ(command(), Balloon::kDone);
  EXPECT_EQ(heard.lines, (Lines{"begins", "free 1024+4", "free 1033+2", "told all"}));
  EXPECT_TRUE(given_back().empty());
  EXPECT_TRUE(noted().empty());
}

TEST_F(BalloonTest, ForgetsHintsThatAreOfNoRun) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  hint({kFirst, 1});
  balloon_->ask_for_free_pages(heard);
  const std::uint32_t first = command();
  hint({kFirst, 1});
  offer_command(first + 1);
  hint({kFirst, 1});
  offer_command(Balloon::kDone);
  hint({kFirst, 1});
  offer({{Driver::kData, 3, 0, 0}});
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{});
  offer_command(first);
  balloon_->end_free_pages();
  hint({kFirst, 1});
  offer_command(first);
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{"begins"});

  // Of the next one, in which the driver has still something of the last.
  Heard next;
  balloon_->ask_for_free_pages(next);
  EXPECT_NE(command(), first);
  hint({kFirst, 1});
  offer_command(first);
  hint({kFirst, 1});
  EXPECT_EQ(next.lines, Lines{});
  offer_command(command());
  hint({kFirst + 2, 1});
  EXPECT_EQ(next.lines, (Lines{"begins", "free 1026+1"}));
  EXPECT_EQ(heard.lines, Lines{"begins"});
}

TEST_F(BalloonTest, ForgetsWhatADriverAnsweredBeforeAReset) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  balloon_->ask_for_free_pages(heard);
  offer_command(command());
  balloon_->begin(Balloon::kHints);
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{"begins"});
  offer_command(command());
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, (Lines{"begins", "begins", "free 1024+1"}));
}

TEST_F(BalloonTest, AsksNoDriverThatDidNotAgreeOrKeepsPoison) {
  Heard heard;
  start(kFreePages, 0, kHints);
  EXPECT_FALSE(balloon_->tells_free_pages());
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(command(), Balloon::kStop);
  balloon_->end_free_pages();
  EXPECT_EQ(command(), Balloon::kStop);
  EXPECT_EQ(told_, 0);

  start(kFreePages, Balloon::kHints | Balloon::kPagePoison, kHints);
  balloon_->ask_for_free_pages(heard);
  offer_command(command());
  const std::uint32_t poison = 0xaaaaaaaa;
  balloon_->write_config(12, std::as_bytes(std::span(&poison, 1)));
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{"begins"});
  EXPECT_FALSE(balloon_->tells_free_pages());
}

// A driver that does without hints numbers the queue of reports as if theirs were not there.
TEST_F(BalloonTest, TakesReportsOnTheQueueThatTheDriverMeans) {
  start(kFreePages, Balloon::kReporting, kBoth);
  hint({kFirst, 1});
  EXPECT_EQ(given_back(), (Pages{{kFirst, 1}}));
}

TEST_F(BalloonTest, TakesReportsBehindHints) {
  Heard heard;
  start(kFreePages + 1, Balloon::kReporting | Balloon::kHints, kBoth);
  balloon_->ask_for_free_pages(heard);
  offer_command(command());
  hint({kFirst, 1});
  EXPECT_EQ(given_back(), (Pages{{kFirst, 1}}));
  EXPECT_EQ(heard.lines, Lines{});
}

// The driver takes up no run whose number it knows, and holds what it named until it reads kDone.
TEST_F(BalloonTest, TravelsWithTheNumberOfItsRuns) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  balloon_->ask_for_free_pages(heard);
  balloon_->end_free_pages();
  balloon_->ask_for_free_pages(heard);
  const std::uint32_t last = command();
  std::vector<std::byte> state;
  vmm::ByteWriter out(state);
  balloon_->save(out);
  start(kFreePages, Balloon::kHints, kHints);
  vmm::ByteReader<std::invalid_argument> from(state, "a balloon");
  balloon_->load(from);
  from.finish();
  EXPECT_EQ(command(), Balloon::kDone);
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(command(), last + 1);

  const auto load_run = [&](std::uint32_t run) {
    std::memcpy(&state[12], &run, sizeof(run));
    vmm::ByteReader<std::invalid_argument> again(state, "a balloon");
    balloon_->load(again);
  };
  EXPECT_THROW(load_run(0), std::invalid_argument);
  load_run(UINT32_MAX);
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(command(), Balloon::kDone + 1);
}

}  // namespace
}  // namespace devices::virtio
