#include "migration/policy/answer_choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace migration {
namespace {

/// What each of `requests` asks for, when answers take so long and come at once.
std::vector<bool> ask(AnswerChoice& choice, int requests, double raw_us, double compressed_us) {
  std::vector<bool> asked;
  for (int i = 0; i < requests; ++i) {
    asked.push_back(choice.ask_compressed());
    choice.answered(asked.back(), asked.back() ? compressed_us : raw_us);
  }
  return asked;
}

auto compressed(const std::vector<bool>& asked) { return std::ranges::count(asked, true); }

TEST(AnswerChoice, TriesRawAndThenCompressedFirst) {
  AnswerChoice choice;
  EXPECT_EQ(ask(choice, 8, 100, 200),
            (std::vector<bool>{false, false, false, true, true, true, false, false}));
}

TEST(AnswerChoice, AsksForTheFasterKindAndOnceIn32ForTheOther) {
  AnswerChoice slow_link;
  ask(slow_link, 6, 400, 200);
  EXPECT_EQ(compressed(ask(slow_link, 320, 400, 200)), 310);
  AnswerChoice fast_link;
  ask(fast_link, 6, 40, 60);
  EXPECT_EQ(compressed(ask(fast_link, 320, 40, 60)), 10);
}

TEST(AnswerChoice, AsksForRawPagesUntilACompressedOneCame) {
  AnswerChoice choice;
  int asked_compressed = 0;
  for (int i = 0; i < 70; ++i) {
    if (choice.ask_compressed()) {
      ++asked_compressed;
    } else {
      choice.answered(false, 1000);
    }
  }
  EXPECT_EQ(asked_compressed, 3 + 2);
}

TEST(AnswerChoice, AsksWithoutAnyAnswer) {
  AnswerChoice choice;
  for (int i = 0; i < 6; ++i) EXPECT_EQ(choice.ask_compressed(), i >= 3);
  EXPECT_FALSE(choice.ask_compressed());
}

TEST(AnswerChoice, NoticesThatTheLinkBecameSlow) {
  AnswerChoice choice;
  ask(choice, 100, 40, 60);
  ask(choice, 8, 1000, 500);
  EXPECT_GE(compressed(ask(choice, 100, 1000, 500)), 80);
}

TEST(AnswerChoice, NoticesThatPagesStoppedToShrink) {
  AnswerChoice choice;
  ask(choice, 100, 400, 200);
  ask(choice, 16, 400, 440);
  EXPECT_LE(compressed(ask(choice, 320, 400, 440)), 16);
}

TEST(AnswerChoice, NoticesThatTheKindItDoesNotUseBecameFaster) {
  AnswerChoice choice;
  ask(choice, 100, 100, 200);
  ask(choice, 32 * 12, 100, 50);
  EXPECT_EQ(compressed(ask(choice, 320, 100, 50)), 310);
}

TEST(AnswerChoice, IsNotTurnedByOneAnswerThatHadToWait) {
  AnswerChoice choice;
  ask(choice, 100, 400, 200);
  choice.answered(true, 1e6);
  EXPECT_GE(compressed(ask(choice, 32, 400, 200)), 30);
}

TEST(AnswerChoice, IsNotMisledByAFirstAnswerThatHadToWait) {
  AnswerChoice choice;
  for (int i = 0; i < 6; ++i) {
    const bool kind = choice.ask_compressed();
    choice.answered(kind, i == 3 ? 1e6 : kind ? 200 : 400);
  }
  EXPECT_TRUE(choice.ask_compressed());
}

TEST(AnswerChoice, FindsTheFasterKindAmongNoise) {
  std::mt19937_64 random(3);
  std::exponential_distribution<double> queue(1.0 / 60);
  AnswerChoice choice;
  int right = 0;
  for (int i = 0; i < 3200; ++i) {
    const bool kind = choice.ask_compressed();
    choice.answered(kind, (kind ? 250 : 500) + queue(random) + (random() % 50 == 0 ? 5000 : 0));
    right += kind ? 1 : 0;
  }
  EXPECT_GE(right, 2800);
}

}  // namespace
}  // namespace migration
