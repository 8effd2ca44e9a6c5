#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/migration/kvm/handover_fixture.hpp"
#include "tests/migration/names.hpp"

namespace migration {
namespace {

// In a page that the guest never touches, and so is not sent.
constexpr vmm::GuestAddress kSpot{30 << 20};

/// A device that no other machine has.
class RareDevice final : public vmm::Device {
 public:
  [[nodiscard]] std::string_view id() const override { return "rare0"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0});
  }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t /*version*/, std::span<const std::byte> /*bytes*/) override {}
};

/// Migrations that come to nothing: the VM is at the source, and runs.
class StaysHere : public HandoverTest {
 protected:
  static bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
};

TEST_F(StaysHere, WhenTheDestinationCannotMakeTheMachine) {
  const Address to =
      receive(unix_socket(), [](const vmm::MachineConfig&, std::uint64_t, const MakeRam&) {
        throw std::invalid_argument("no room for another VM");
        return std::unique_ptr<vmm::Machine>();
      });
  migrate(run_guest(), {.to = to});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_TRUE(contains(result.report.error.value_or(""), "no room for another VM"))
      << result.report.error.value_or("");
  EXPECT_EQ(result.report.owner, "the VM is here and runs on");
  expect_runs_here(result);
  // It took no VM, so it still waits for one.
  EXPECT_EQ(incoming_->status().state, "listening");
}

TEST_F(StaysHere, WhenTheDestinationLacksADevice) {
  auto machine = make_guest("tick=2 timer=100 regs fill=8 check", 2);
  machine->attach_ports(std::make_shared<RareDevice>(), 0x700, 1);
  machine->resume();
  ASSERT_TRUE(output_.wait_for_tick_lines(1));
  migrate(std::move(machine), {.to = receive(unix_socket())});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_TRUE(contains(result.report.error.value_or(""), "no device rare0"))
      << result.report.error.value_or("");
  // At the offer: the guest has not been stopped, nor a page been sent.
  EXPECT_EQ(result.report.pages.raw + result.report.pages.zero, 0U);
  EXPECT_EQ(result.report.downtime_ms, 0.0);
  EXPECT_EQ(result.report.owner, "the VM is here and runs on");
  expect_runs_here(result);
  EXPECT_EQ(incoming_->status().state, "listening");
}

TEST_F(StaysHere, WhenNobodyListens) {
  const Address to = unix_socket();
  migrate(run_guest(), {.to = to});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_TRUE(contains(result.report.error.value_or(""), to.path))
      << result.report.error.value_or("");
  expect_runs_here(result);
}

TEST_F(StaysHere, WhenAFaultOfOursIsCaughtByNobodyElse) {
  migrate(run_guest(), slow(receive(unix_socket())), [](const MigrationReport& report) {
    // Once the destination listens for more than the offer. No std::exception, which is caught
    // there.
    if (report.phase == "round 1" && report.wire_bytes > 0) throw 7;
  });
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_TRUE(contains(result.report.error.value_or(""), "a fault within the migration"))
      << result.report.error.value_or("");
  expect_runs_here(result);
  const std::string why = wait_failed();
  EXPECT_TRUE(contains(why, "a fault within the migration")) << why;
}

TEST_F(StaysHere, WhenItIsCancelled) {
  migrate(run_guest(), slow(receive(unix_socket())));
  ASSERT_TRUE(wait_copying());
  EXPECT_EQ(outgoing_->cancel(), "");
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::cancelled);
  expect_runs_here(result);
  const std::string why = wait_failed();
  EXPECT_TRUE(contains(why, "the source kept the VM")) << why;
  EXPECT_EQ(incoming_->status().state, "gone");
}

/// At any moment, and many times over: the process that has the VM lives on.
TEST_F(StaysHere, WhenItIsCancelledAgainAndAgainWhileANameIsLookedUp) {
  const SilentNames names;
  const Address to = parse_address(std::string("tcp:") + SilentNames::kName + ":7000");
  migrate(run_guest(), {.to = to, .timeout = std::chrono::hours(1)});
  ASSERT_TRUE(SilentNames::wait_asked(1));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(outgoing_->cancel(), "");
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::cancelled);
  EXPECT_EQ(result.report.error, "cancelled by request");
  expect_runs_here(result);
}

TEST_F(StaysHere, WhenNoNameServerAnswers) {
  const SilentNames names;
  const Address to = parse_address(std::string("tcp:") + SilentNames::kName + ":7000");
  migrate(run_guest(), {.to = to, .timeout = std::chrono::milliseconds(50)});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_TRUE(contains(result.report.error.value_or(""), "no name server has answered"))
      << result.report.error.value_or("");
  expect_runs_here(result);
}

TEST_F(StaysHere, WhenItIsCancelledTwiceAtWhateverMoment) {
  auto machine = run_guest();
  for (const int delay_us : {0, 100, 300, 1000, 3000, 10'000, 20'000}) {
    migrate(std::move(machine), slow(receive(unix_socket())));
    std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
    EXPECT_EQ(outgoing_->cancel(), "") << delay_us;
    static_cast<void>(outgoing_->cancel());  // it may have ended by now
    auto result = wait_ended();
    EXPECT_EQ(result.report.outcome, Outcome::cancelled) << delay_us;
    ASSERT_TRUE(result.machine);
    EXPECT_TRUE(result.machine->running());
    machine = std::move(result.machine);
    outgoing_.reset();
    incoming_.reset();
  }
  machine->pause();
  EXPECT_FALSE(machine->ended()) << output_.text();
  EXPECT_TRUE(output_.ticks_in_order());
}

TEST_F(StaysHere, WhenTheDestinationGoesAwayMidway) {
  migrate(run_guest(), slow(receive(tcp())));
  ASSERT_TRUE(wait_copying());
  incoming_.reset();
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  expect_runs_here(result);
}

TEST_F(StaysHere, WhenMemoryDiffersAtTheDestination) {
  const Address to = receive(
      unix_socket(), [this](const vmm::MachineConfig& config, std::uint64_t, const MakeRam&) {
        auto machine = make_empty(config);
        machine->memory().at(kSpot, 1).front() = std::byte{1};
        return machine;
      });
  migrate(run_guest(), {.to = to, .verify = true});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_NE(result.report.verified, true);
  EXPECT_TRUE(contains(result.report.error.value_or(""), "verification failed"))
      << result.report.error.value_or("");
  expect_runs_here(result);
  const std::string why = wait_failed();
  EXPECT_TRUE(contains(why, "verification failed")) << why;
}

TEST_F(StaysHere, PausedWhenItWasPaused) {
  auto paused = run_guest();
  paused->pause();
  const std::string printed = output_.text();
  migrate(std::move(paused), {.to = unix_socket()});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_EQ(result.report.owner, "the VM is here, paused as it was");
  ASSERT_TRUE(result.machine);
  EXPECT_FALSE(result.machine->running());
  EXPECT_EQ(output_.text(), printed);
}

TEST_F(StaysHere, WhenTheGuestEndsBeforeItIsMoved) {
  migrate(run_guest("end=ticks:600"), slow(receive(unix_socket())));
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_EQ(result.report.owner, "the guest has ended, here");
  ASSERT_TRUE(result.machine);
  const auto end = result.machine->ended();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code, 0) << output_.text();
  EXPECT_EQ(output_.ticks().size(), 600U);
  EXPECT_TRUE(contains(wait_failed(), "the guest ended"));
}

TEST_F(StaysHere, AndCanBeMovedAfterwards) {
  migrate(run_guest(), slow(receive(unix_socket())));
  ASSERT_TRUE(wait_copying());
  EXPECT_EQ(outgoing_->cancel(), "");
  auto result = wait_ended();
  ASSERT_TRUE(result.machine);
  migrate(std::move(result.machine), {.to = receive(tcp()), .verify = true});
  EXPECT_EQ(wait_ended().report.outcome, Outcome::completed);
  const auto machine = wait_arrived();
  ASSERT_TRUE(machine);
  EXPECT_TRUE(output_.wait_for_ticks(50));
  machine->pause();
  EXPECT_FALSE(machine->ended()) << output_.text();
  EXPECT_TRUE(output_.ticks_in_order());
}

}  // namespace
}  // namespace migration
