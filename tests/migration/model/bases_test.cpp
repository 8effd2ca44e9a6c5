#include "migration/model/bases.hpp"

#include <gtest/gtest.h>

namespace migration::model {
namespace {

TEST(Bases, AreOfPagesThatWereSentAfterTheFirstRound) {
  Bases bases(4);
  EXPECT_FALSE(bases.send(1, 1));
  EXPECT_FALSE(bases.send(1, 2));
  EXPECT_TRUE(bases.send(1, 3));
  EXPECT_TRUE(bases.send(1, 7));
}

TEST(Bases, KeepTheirPlaceWhileTheyAreSentEveryOtherRound) {
  Bases bases(4);
  EXPECT_FALSE(bases.send(1, 2));
  EXPECT_FALSE(bases.send(5, 2));
  EXPECT_FALSE(bases.send(5, 3));
  EXPECT_TRUE(bases.send(1, 4));
  EXPECT_FALSE(bases.send(5, 6));
  EXPECT_FALSE(bases.send(1, 7));
  EXPECT_TRUE(bases.send(5, 7));
}

TEST(Bases, AreNoneWithoutRoomOrARound) {
  Bases none(0);
  EXPECT_FALSE(none.send(1, 2));
  EXPECT_FALSE(none.send(1, 3));
  Bases some(4);
  EXPECT_FALSE(some.send(1, 2));
  EXPECT_FALSE(some.send(1, 0));
}

}  // namespace
}  // namespace migration::model
