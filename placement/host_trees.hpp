#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "placement/fleet.hpp"

namespace placement {

/// Hosts in the order of a number, each in one tree at the most: what is found, entered and taken
/// out takes the logarithm of how many there are. Treaps, whose nodes know how much the hosts below
/// them have (Seidel and Aragon 1996, "Randomized search trees").
class HostTrees {
 public:
  /// By which hosts are in order: their number first, then which host it is.
  using Key = std::pair<double, HostIndex>;
  /// What a host has, or what it must have.
  struct Has {
    std::uint64_t memory = 0;
    double cpu = 0;
  };

  HostTrees(std::size_t hosts, std::size_t trees) : nodes_(hosts), roots_(trees, kNone) {}

  /// The host is in no tree.
  void insert(std::size_t tree, Key key, const Has& has);
  /// The host is in this tree, by this key.
  void erase(std::size_t tree, Key key);
  /// The key of the first host, `from` or behind it, that has as much of each.
  [[nodiscard]] std::optional<Key> first(std::size_t tree, Key from, const Has& wanted) const;

 private:
  static constexpr HostIndex kNone = std::numeric_limits<HostIndex>::max();
  struct Node {
    double number = 0;
    Has own, most;  ///< most: of all in its subtree
    HostIndex less = kNone, more = kNone;
  };

  [[nodiscard]] Key key_of(HostIndex host) const { return {nodes_[host].number, host}; }
  void sum_up(HostIndex host);
  /// What is before the key, and the rest.
  std::pair<HostIndex, HostIndex> split(HostIndex tree, Key at);
  /// All of `less` is before all of `more`.
  HostIndex merge(HostIndex less, HostIndex more);
  void erase_below(HostIndex& tree, Key key);
  [[nodiscard]] HostIndex first_below(HostIndex tree, Key from, const Has& wanted) const;

  std::vector<Node> nodes_;  ///< by host
  std::vector<HostIndex> roots_;
};

}  // namespace placement
