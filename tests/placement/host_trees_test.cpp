#include "placement/host_trees.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <vector>

namespace placement {
namespace {

constexpr HostTrees::Key kFirst{-std::numeric_limits<double>::infinity(), 0};

/// The same, by looking at each host.
class Plain {
 public:
  explicit Plain(std::size_t trees) : trees_(trees) {}
  void insert(std::size_t tree, HostTrees::Key key, const HostTrees::Has& has) {
    trees_[tree][key] = has;
  }
  void erase(std::size_t tree, HostTrees::Key key) { trees_[tree].erase(key); }
  [[nodiscard]] std::optional<HostTrees::Key> first(std::size_t tree, HostTrees::Key from,
                                                    const HostTrees::Has& wanted) const {
    const auto& hosts = trees_[tree];
    for (auto at = hosts.lower_bound(from); at != hosts.end(); ++at) {
      if (at->second.memory >= wanted.memory && at->second.cpu >= wanted.cpu) return at->first;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::map<HostTrees::Key, HostTrees::Has>> trees_;
};

TEST(HostTrees, FindsNothingWhereNothingIs) {
  HostTrees trees(3, 2);
  EXPECT_FALSE(trees.first(0, kFirst, {}));
  trees.insert(1, {5, 2}, {10, 1});
  EXPECT_FALSE(trees.first(0, kFirst, {}));
  EXPECT_EQ(trees.first(1, kFirst, {}), HostTrees::Key(5, 2));
  EXPECT_FALSE(trees.first(1, kFirst, {11, 1}));
  EXPECT_FALSE(trees.first(1, kFirst, {10, 2}));
  EXPECT_FALSE(trees.first(1, {5, 3}, {}));
  trees.erase(1, {5, 2});
  EXPECT_FALSE(trees.first(1, kFirst, {}));
}

TEST(HostTrees, FindWhatLookingAtEachHostFinds) {
  constexpr std::size_t kHosts = 200;
  constexpr std::size_t kTrees = 3;
  std::mt19937 random(1);
  // Few values, so that many hosts have the same.
  const auto below = [&](unsigned end) { return static_cast<unsigned>(random() % end); };
  HostTrees trees(kHosts, kTrees);
  Plain plain(kTrees);
  struct Place {
    std::size_t tree;
    HostTrees::Key key;
  };
  std::map<HostIndex, Place> places;
  unsigned found = 0;
  for (int turn = 0; turn < 20'000; ++turn) {
    const HostIndex host = below(kHosts);
    if (const auto at = places.find(host); at != places.end()) {
      trees.erase(at->second.tree, at->second.key);
      plain.erase(at->second.tree, at->second.key);
      places.erase(at);
    } else {
      const Place place{below(kTrees), {below(50), host}};
      const HostTrees::Has has{below(20), static_cast<double>(below(4))};
      trees.insert(place.tree, place.key, has);
      plain.insert(place.tree, place.key, has);
      places.emplace(host, place);
    }
    const std::size_t tree = below(kTrees);
    const HostTrees::Key from{below(50), below(kHosts)};
    const HostTrees::Has wanted{below(22), static_cast<double>(below(5))};
    const auto wants = plain.first(tree, from, wanted);
    ASSERT_EQ(trees.first(tree, from, wanted), wants) << turn;
    found += wants ? 1 : 0;
  }
  EXPECT_GT(found, 5'000U);
  EXPECT_LT(found, 15'000U);
}

/// Hosts that come in order are no list: looking for what none of them has would end the stack.
TEST(HostTrees, TakeManyHostsInOrder) {
  constexpr std::size_t kHosts = 200'000;
  HostTrees trees(kHosts, 1);
  for (HostIndex host = 0; host < kHosts; ++host) {
    trees.insert(0, {static_cast<double>(host), host}, {host, 1});
  }
  EXPECT_EQ(trees.first(0, kFirst, {kHosts - 1, 1}), HostTrees::Key(kHosts - 1, kHosts - 1));
  for (HostIndex host = 0; host < kHosts; ++host) trees.erase(0, {static_cast<double>(host), host});
  EXPECT_FALSE(trees.first(0, kFirst, {}));
}

}  // namespace
}  // namespace placement
