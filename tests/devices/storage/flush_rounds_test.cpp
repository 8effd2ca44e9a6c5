#include "devices/storage/flush_rounds.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace devices::storage {
namespace {

using namespace std::chrono_literals;
using Asked = FlushRounds::Asked;
using Outcomes = std::vector<std::string>;

const std::string kLost = "a disk: has lost what was written: Input/output error";

/// A disk whose first flush is under way until it may end.
class Flushed {
 public:
  std::future<std::string> begin(Asked asked) {
    return std::async(std::launch::async, [this, asked] { return flush(asked); });
  }
  std::future<std::string> begin_first(Asked asked) {
    auto first = begin(asked);
    begun_.get_future().wait();
    return first;
  }
  void end_first(bool well) { end_.set_value(well); }

  /// What it came to.
  std::string flush(Asked asked) {
    try {
      rounds_.flush(asked);
      return "flushed";
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  [[nodiscard]] int flushes() const { return flushes_; }
  [[nodiscard]] bool lost() const { return rounds_.lost(); }

 private:
  void ask_host() {
    if (++flushes_ != 1) return;
    begun_.set_value();
    if (!end_.get_future().get()) throw std::runtime_error("the host fails");
  }

  std::atomic<int> flushes_{0};
  std::promise<void> begun_;
  std::promise<bool> end_;
  FlushRounds rounds_{"a disk", [this] { ask_host(); }};
};

/// What became of these, which were asked for while `first` was under way, and how many the host
/// did in all. That each of them waits in time is not to be seen: with more time, at last.
struct Round {
  Outcomes outcomes;
  int flushes = 0;
  bool lost = false;
};
Round beside(Asked first, bool ends_well, const std::vector<Asked>& others, int expected) {
  Round round;
  for (auto time = 1ms; time < 4s && round.flushes != expected; time *= 4) {
    Flushed disk;
    auto under_way = disk.begin_first(first);
    std::vector<std::future<std::string>> waiting;
    waiting.reserve(others.size());
    for (const Asked asked : others) waiting.push_back(disk.begin(asked));
    std::this_thread::sleep_for(time);
    disk.end_first(ends_well);
    round.outcomes = {under_way.get()};
    for (auto& each : waiting) round.outcomes.push_back(each.get());
    round.flushes = disk.flushes();
    round.lost = disk.lost();
  }
  EXPECT_EQ(round.flushes, expected);
  return round;
}

TEST(FlushRounds, AreOneAfterTheOther) {
  Flushed disk;
  disk.end_first(true);
  EXPECT_EQ(disk.flush(Asked::by_guest), "flushed");
  EXPECT_EQ(disk.flush(Asked::by_host), "flushed");
  EXPECT_EQ(disk.flushes(), 2);
}

TEST(FlushRounds, AnswerAllThatWaitByOneThatBeganAfterwards) {
  std::vector<Asked> others(16, Asked::by_guest);
  others.resize(20, Asked::by_host);
  const Round round = beside(Asked::by_guest, true, others, 2);
  EXPECT_EQ(round.outcomes, Outcomes(21, "flushed"));
}

/// The host tells of it once.
TEST(FlushRounds, TellAllThatWaitOfALoss) {
  const Round round = beside(Asked::by_host, false, {Asked::by_guest, Asked::by_host}, 1);
  EXPECT_EQ(round.outcomes, (Outcomes{"the host fails", kLost, kLost}));
  EXPECT_FALSE(round.lost);
}

TEST(FlushRounds, KeepALossForTheGuest) {
  Flushed disk;
  disk.end_first(false);
  EXPECT_EQ(disk.flush(Asked::by_host), "the host fails");
  EXPECT_TRUE(disk.lost());
  EXPECT_EQ(disk.flush(Asked::by_host), kLost);
  EXPECT_EQ(disk.flush(Asked::by_guest), kLost);
  EXPECT_FALSE(disk.lost());
  EXPECT_EQ(disk.flush(Asked::by_guest), "flushed");
}

TEST(FlushRounds, KeepALossThatOnlyTheHostWaitedFor) {
  EXPECT_TRUE(beside(Asked::by_host, false, {Asked::by_host}, 1).lost);
  EXPECT_FALSE(beside(Asked::by_guest, false, {Asked::by_host}, 1).lost);
}

}  // namespace
}  // namespace devices::storage
