#include "migration/pages/active_channels.hpp"

#include <gtest/gtest.h>

#include <future>
#include <optional>

namespace migration {
namespace {

class AnyRound final : public Round {
 public:
  explicit AnyRound(std::uint32_t number, bool urgent = false) : Round(number), urgent_(urgent) {}
  [[nodiscard]] std::optional<Chunk> next_chunk() override { return std::nullopt; }
  [[nodiscard]] bool urgent() const override { return urgent_; }

 private:
  bool urgent_;
};

/// Until another channel joins.
void work_hard(ActiveChannels& channels) {
  const unsigned before = channels.active();
  while (channels.active() == before) channels.worked({0.01, 0, 0.01});
}

/// What the channel of that index is told, once it is.
std::future<bool> await_turn(ActiveChannels& channels, unsigned index, const Round& round) {
  return std::async(std::launch::async,
                    [&channels, index, &round] { return channels.await_turn(index, round); });
}

TEST(ActiveChannels, AreAllThatWereAskedFor) {
  ActiveChannels channels = ActiveChannels::all(3);
  EXPECT_EQ(channels.active(), 3U);
  EXPECT_EQ(channels.most_active(), 3U);
  EXPECT_TRUE(channels.has_turn(2, AnyRound(1)));
  EXPECT_TRUE(channels.has_turn(2, AnyRound(1, true)));
  for (unsigned i = 0; i < 100; ++i) channels.worked({0, 0, 0.01});
  EXPECT_EQ(channels.active(), 3U);
}

TEST(ActiveChannels, AreOneUntilMoreAreNeeded) {
  ActiveChannels channels = ActiveChannels::as_needed(2);
  const AnyRound round(1);
  EXPECT_EQ(channels.open(), 2U);
  EXPECT_EQ(channels.active(), 1U);
  EXPECT_TRUE(channels.has_turn(0, round));
  EXPECT_FALSE(channels.has_turn(1, round));
  work_hard(channels);
  EXPECT_TRUE(channels.has_turn(1, round));
  EXPECT_EQ(channels.most_active(), 2U);
}

TEST(ActiveChannels, JoinWithinARound) {
  ActiveChannels channels = ActiveChannels::as_needed(2);
  const AnyRound round(1);
  auto joins = await_turn(channels, 1, round);
  work_hard(channels);
  EXPECT_TRUE(joins.get());
}

TEST(ActiveChannels, WaitNoLongerThanTheRoundIsHandedOut) {
  ActiveChannels channels = ActiveChannels::as_needed(2);
  const AnyRound first(1), second(2);
  auto joins = await_turn(channels, 1, first);
  channels.handed_out(first);
  EXPECT_FALSE(joins.get());
  joins = await_turn(channels, 1, second);  // of which nothing is handed out
  work_hard(channels);
  EXPECT_TRUE(joins.get());
}

TEST(ActiveChannels, WaitNoLongerWhenTheyAreStopped) {
  ActiveChannels channels = ActiveChannels::as_needed(2);
  const AnyRound round(1);
  auto joins = await_turn(channels, 1, round);
  channels.stop();
  EXPECT_FALSE(joins.get());
}

TEST(ActiveChannels, SendWhatIsUrgentOverOne) {
  ActiveChannels channels = ActiveChannels::as_needed(2);
  work_hard(channels);
  EXPECT_FALSE(channels.has_turn(1, AnyRound(1, true)));
}

}  // namespace
}  // namespace migration
