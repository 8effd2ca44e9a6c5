#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "tests/migration/kvm/handover_fixture.hpp"
#include "vmm/memory/userfault.hpp"

namespace migration {
namespace {

/// Migrations that end after the handover. Skipped, with the reason, where userfaultfd is not
/// permitted.
class PostCopy : public HandoverTest {
 protected:
  void SetUp() override {
    HandoverTest::SetUp();
    if (IsSkipped()) return;
    try {
      const vmm::Userfault userfault;
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  static bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  /// The VM has arrived with all its pages, and goes on: then it is like any other.
  std::unique_ptr<vmm::Machine> expect_whole() {
    auto machine = wait_arrived();
    if (!machine) return machine;
    EXPECT_TRUE(wait_complete());
    machine->set_userfault(nullptr);
    EXPECT_EQ(incoming_->status().fetching->missing, 0U);
    EXPECT_TRUE(output_.wait_for_tick_lines(2));
    return machine;
  }
  void expect_goes_well(vmm::Machine& machine) {
    machine.pause();
    EXPECT_FALSE(machine.ended()) << output_.text();
    EXPECT_TRUE(output_.ticks_in_order());
  }
};

struct PostCopyWay {
  const char* name;
  Mode mode;
  bool tcp;
  unsigned channels;
  Prepaging prepaging;
  bool verify;

  friend std::ostream& operator<<(std::ostream& out, const PostCopyWay& way) {
    return out << way.name;
  }
};
class PostCopyEachWay : public PostCopy, public ::testing::WithParamInterface<PostCopyWay> {};

TEST_P(PostCopyEachWay, CompletesAndTheGuestGoesOn) {
  const PostCopyWay& way = GetParam();
  migrate(run_guest(), {.to = receive(way.tcp ? tcp() : unix_socket()),
                        .mode = way.mode,
                        .channels = way.channels,
                        .prepaging = way.prepaging,
                        .verify = way.verify});
  const auto machine = expect_whole();
  ASSERT_TRUE(machine);
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  EXPECT_FALSE(result.machine);
  EXPECT_EQ(result.report.mode, to_string(way.mode));
  EXPECT_EQ(result.report.verified.value_or(false), way.verify);
  EXPECT_EQ(result.report.rounds.size(), way.mode == Mode::hybrid ? 1U : 0U);
  EXPECT_EQ(result.report.switched.has_value(), way.mode == Mode::hybrid);
  const auto& pages = result.report.pages;
  // Post-copy sends each page once; hybrid those again that were written meanwhile.
  EXPECT_EQ(pages.unpopulated + pages.zero + pages.raw + pages.compressed - pages.resent,
            pages.total);
  EXPECT_GT(pages.demand + pages.pushed, 0U);
  EXPECT_TRUE(way.mode == Mode::hybrid || pages.resent == 0U) << pages.resent;
  EXPECT_GT(result.report.downtime_ms, 0);
  EXPECT_LT(result.report.downtime_ms, result.report.total_ms);
  expect_goes_well(*machine);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, PostCopyEachWay,
    ::testing::Values(
        PostCopyWay{"UnixPostCopy", Mode::post_copy, false, 1, Prepaging::bubbling, true},
        PostCopyWay{"TcpPostCopy", Mode::post_copy, true, 1, Prepaging::bubbling, false},
        PostCopyWay{"TcpPostCopyOverTwoChannels", Mode::post_copy, true, 2, Prepaging::linear,
                    true},
        PostCopyWay{"UnixHybrid", Mode::hybrid, false, 1, Prepaging::bubbling, true},
        PostCopyWay{"TcpHybridOverTwoChannels", Mode::hybrid, true, 2, Prepaging::bubbling, false}),
    [](const auto& way) { return way.param.name; });

TEST_F(PostCopy, GoesThereAndBackAndTheGuestEndsWell) {
  auto machine = run_guest("end=ticks:1500");
  for (int hop = 0; hop < 4; ++hop) {
    migrate(std::move(machine), {.to = receive(unix_socket()),
                                 .mode = hop % 2 == 0 ? Mode::post_copy : Mode::hybrid,
                                 .verify = true});
    machine = wait_arrived();
    ASSERT_TRUE(machine);
    EXPECT_TRUE(wait_complete());
    machine->set_userfault(nullptr);
    const auto result = wait_ended();
    ASSERT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
    ASSERT_TRUE(output_.wait_for_ticks(20));
  }
  expect_ends_well(*machine, 1500);
}

TEST_F(PostCopy, WithoutPrepagingTheGuestRunsAndTheRestComesOnceAnOrderIsSet) {
  migrate(run_guest(),
          {.to = receive(unix_socket()), .mode = Mode::post_copy, .prepaging = Prepaging::none});
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_TRUE(output_.wait_for_ticks(20));
  // Far more than the guest touches was filled, and RAM that it never touched counts too.
  EXPECT_GT(incoming_->status().fetching->missing, 0U);
  EXPECT_EQ(outgoing_->live().outcome, Outcome::running);
  MigrateSettings settings;
  settings.prepaging = Prepaging::linear;
  outgoing_->set(settings);
  EXPECT_TRUE(wait_complete());
  machine->set_userfault(nullptr);
  EXPECT_EQ(wait_ended().report.outcome, Outcome::completed);
  EXPECT_GT(incoming_->status().fetching->latencies.count(), 0U);
  EXPECT_TRUE(output_.wait_for_ticks(20));
  expect_goes_well(*machine);
}

TEST_F(PostCopy, OfAPausedVmLeavesItPausedAtTheDestination) {
  auto paused = run_guest();
  paused->pause();
  const std::string printed = output_.text();
  migrate(std::move(paused),
          {.to = receive(unix_socket()), .mode = Mode::post_copy, .verify = true});
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_FALSE(machine->running());
  EXPECT_TRUE(wait_complete());
  machine->set_userfault(nullptr);
  EXPECT_EQ(wait_ended().report.outcome, Outcome::completed);
  EXPECT_EQ(incoming_->status().state, "paused");
  EXPECT_EQ(output_.text(), printed);
  machine->resume();
  EXPECT_TRUE(output_.wait_for_ticks(50));
  expect_goes_well(*machine);
}

TEST_F(PostCopy, CanBeCancelledBeforeTheHandover) {
  MigrateOptions options = slow(receive(unix_socket()));
  options.mode = Mode::hybrid;
  migrate(run_guest(), std::move(options));
  ASSERT_TRUE(wait_copying());
  EXPECT_EQ(outgoing_->cancel(), "");
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::cancelled);
  EXPECT_EQ(result.report.owner, "the VM is here and runs on");
  expect_runs_here(result);
  EXPECT_TRUE(contains(wait_failed(), "the source kept the VM"));
}

TEST_F(PostCopy, CannotBeCancelledOnceTheVmRunsThere) {
  migrate(run_guest(),
          {.to = receive(unix_socket()), .mode = Mode::post_copy, .prepaging = Prepaging::none});
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_EQ(outgoing_->cancel(), "the VM has been handed over: it cannot be cancelled any more");
  EXPECT_EQ(outgoing_->force_resume(), "the VM is not in doubt here: nothing to force");
  MigrateSettings settings;
  settings.prepaging = Prepaging::bubbling;
  outgoing_->set(settings);
  EXPECT_TRUE(wait_complete());
  machine->set_userfault(nullptr);
  EXPECT_EQ(wait_ended().report.outcome, Outcome::completed);
  EXPECT_TRUE(output_.wait_for_ticks(20));
  expect_goes_well(*machine);
}

TEST_F(PostCopy, EndsTheMigrationWhenTheGuestEndsWithPagesMissing) {
  migrate(run_guest("end=ticks:600"),
          {.to = receive(unix_socket()), .mode = Mode::post_copy, .prepaging = Prepaging::none});
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  const auto end = vmm::wait_end(*machine);
  ASSERT_TRUE(end) << output_.text();
  EXPECT_EQ(end->code, 0) << output_.text();
  std::promise<void> declined;
  incoming_->decline([&declined] { declined.set_value(); });
  EXPECT_EQ(declined.get_future().wait_for(vmm::kDeadline), std::future_status::ready);
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::completed);
  EXPECT_FALSE(result.machine);
  EXPECT_TRUE(contains(result.report.owner, "has ended")) << result.report.owner;
  EXPECT_TRUE(output_.ticks_in_order());
}

}  // namespace
}  // namespace migration
