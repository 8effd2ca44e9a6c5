#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "tests/migration/kvm/handover_fixture.hpp"

namespace migration {
namespace {

struct Way {
  const char* name;
  bool tcp;
  Mode mode;
  unsigned channels;

  friend std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }
};

class Handover : public HandoverTest {};
class HandoverEachWay : public HandoverTest, public ::testing::WithParamInterface<Way> {};

TEST_P(HandoverEachWay, CompletesAndTheGuestGoesOn) {
  const Way& way = GetParam();
  const Address to = receive(way.tcp ? tcp() : unix_socket());
  migrate(run_guest(), {.to = to, .mode = way.mode, .channels = way.channels, .verify = true});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  EXPECT_FALSE(result.report.error);
  EXPECT_FALSE(result.machine);
  EXPECT_EQ(result.report.transport, way.tcp ? "tcp" : "unix");
  EXPECT_EQ(result.report.verified, true);
  EXPECT_GT(result.report.downtime_ms, 0);
  // 8 MiB were filled, 30 % of them with zeros.
  EXPECT_GT(result.report.wire_bytes, 1'000'000U);
  const auto& pages = result.report.pages;
  EXPECT_GT(pages.unpopulated, 0U);
  EXPECT_GE(pages.unpopulated + pages.zero + pages.raw + pages.compressed, pages.total);

  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_TRUE(machine->running());
  EXPECT_EQ(incoming_->status().state, "running");
  const auto told = wait_report();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->total_ms, result.report.total_ms);
  EXPECT_EQ(told->pages.raw, result.report.pages.raw);
  EXPECT_TRUE(output_.wait_for_tick_lines(2));
  machine->pause();
  EXPECT_FALSE(machine->ended()) << output_.text();
  EXPECT_TRUE(output_.ticks_in_order());
}

INSTANTIATE_TEST_SUITE_P(
    Ways, HandoverEachWay,
    ::testing::Values(Way{"UnixPreCopy", false, Mode::pre_copy, 1},
                      Way{"TcpPreCopy", true, Mode::pre_copy, 1},
                      Way{"TcpPreCopyOverFourChannels", true, Mode::pre_copy, 4},
                      Way{"UnixAuto", false, Mode::automatic, 1},
                      Way{"UnixStopAndCopy", false, Mode::stop_and_copy, 1},
                      Way{"TcpStopAndCopyOverTwoChannels", true, Mode::stop_and_copy, 2}),
    [](const auto& way) { return way.param.name; });

TEST_F(Handover, GoesThereAndBackAndTheGuestEndsWell) {
  auto machine = run_guest("end=ticks:1500");
  for (int hop = 0; hop < 4; ++hop) {
    migrate(std::move(machine), {.to = receive(unix_socket()), .verify = true});
    const auto result = wait_ended();
    ASSERT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
    machine = wait_arrived();
    ASSERT_TRUE(machine);
    ASSERT_TRUE(output_.wait_for_ticks(20));
  }
  expect_ends_well(*machine, 1500);
}

TEST_F(Handover, OfAPausedVmLeavesItPausedAtTheDestination) {
  auto paused = run_guest();
  paused->pause();
  const std::string printed = output_.text();
  migrate(std::move(paused), {.to = receive(unix_socket()), .verify = true});
  EXPECT_EQ(wait_ended().report.outcome, Outcome::completed);
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_FALSE(machine->running());
  EXPECT_EQ(incoming_->status().state, "paused");
  EXPECT_EQ(output_.text(), printed);
  machine->resume();
  EXPECT_TRUE(output_.wait_for_ticks(50));
  machine->pause();
  EXPECT_FALSE(machine->ended()) << output_.text();
  EXPECT_TRUE(output_.ticks_in_order());
}

TEST_F(Handover, CompletesOnceItsBandwidthIsRaised) {
  migrate(run_guest(), slow(receive(unix_socket())));
  ASSERT_TRUE(wait_copying());
  MigrateSettings unlimited;
  unlimited.max_bandwidth = 0;
  outgoing_->set(unlimited);
  EXPECT_EQ(wait_ended().report.outcome, Outcome::completed);
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_TRUE(output_.wait_for_ticks(50));
  machine->pause();
  EXPECT_TRUE(output_.ticks_in_order());
}

}  // namespace
}  // namespace migration
