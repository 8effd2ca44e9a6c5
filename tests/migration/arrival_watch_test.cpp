#include "migration/policy/arrival_watch.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

constexpr int kOwn = 0;

/// How many looks it takes until the thread goes to `arrival`; 0: it does not within a hundred.
int looks_until_it_goes(ArrivalWatch& watch, int arrival) {
  for (int look = 1; look <= 100; ++look) {
    if (watch.should_follow(arrival, kOwn)) return look;
  }
  return 0;
}

TEST(ArrivalWatch, GoesWhereAllArrivedForAWhile) {
  ArrivalWatch watch;
  EXPECT_EQ(looks_until_it_goes(watch, 1), 5);
}

TEST(ArrivalWatch, StaysWhereAllArrives) {
  ArrivalWatch watch;
  EXPECT_EQ(looks_until_it_goes(watch, kOwn), 0);
}

TEST(ArrivalWatch, StaysWhereArrivalsWander) {
  ArrivalWatch watch;
  for (int look = 0; look < 100; ++look) EXPECT_FALSE(watch.should_follow(1 + look % 2, kOwn));
  for (int look = 0; look < 100; ++look) EXPECT_FALSE(watch.should_follow(look % 5 / 4, kOwn));
  EXPECT_EQ(looks_until_it_goes(watch, 3), 5);
}

TEST(ArrivalWatch, StaysWhereNobodyKnows) {
  ArrivalWatch watch;
  EXPECT_EQ(looks_until_it_goes(watch, -1), 0);
}

TEST(ArrivalWatch, DoesNotTryForEverToGoWhereItMayNot) {
  ArrivalWatch watch;
  EXPECT_EQ(looks_until_it_goes(watch, 1), 5);
  EXPECT_EQ(looks_until_it_goes(watch, 1), 0);
}

}  // namespace
}  // namespace migration
