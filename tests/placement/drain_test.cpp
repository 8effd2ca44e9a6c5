#include "placement/drain.hpp"

#include <gtest/gtest.h>

#include "fleets.hpp"

namespace placement {
namespace {

using Places = std::vector<HostIndex>;

TEST(Drain, EmptiesTheHostAndMovesNoOther) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {10}), vm("b", 0, {20}), vm("c", 1, {5}), vm("d", 2, {90})};
  EXPECT_EQ(Drain({0}).place(fleet), (Places{2, 2, 1, 2}));
}

TEST(Drain, OfSomeHostsMovesNothingFromOneToTheOther) {
  Fleet fleet = hosts(4);
  fleet.vms = {vm("a", 0, {10}), vm("b", 1, {80}), vm("c", 2, {5})};
  EXPECT_EQ(Drain({0, 1}).place(fleet), (Places{2, 2, 2}));
}

TEST(Drain, PrefersAHostThatKeepsAnImage) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {10}), vm("b", 2, {90})};
  fleet.vms[0].kept_at = {1};
  EXPECT_EQ(Drain({0}).place(fleet), (Places{1, 2}));
}

TEST(Drain, LeavesWhatFindsNoRoom) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("small", 0, {1}), vm("large", 0, {1}), vm("there", 1, {1})};
  fleet.vms[1].memory = 4000 * kMebibyte;
  EXPECT_EQ(Drain({0}).place(fleet), (Places{1, 0, 1}));
}

}  // namespace
}  // namespace placement
