#include "placement/host_trees.hpp"

#include <algorithm>

namespace placement {

namespace {

/// As if by chance, and the same each time.
std::uint64_t priority(HostIndex host) {
  std::uint64_t mixed = (host + 1) * 0x9e3779b97f4a7c15U;
  mixed = (mixed ^ (mixed >> 32U)) * 0xd6e8feb86659fd93U;
  return mixed ^ (mixed >> 32U);
}

void add_to(HostTrees::Has& most, const HostTrees::Has& has) {
  most.memory = std::max(most.memory, has.memory);
  most.cpu = std::max(most.cpu, has.cpu);
}

bool suffices(const HostTrees::Has& has, const HostTrees::Has& wanted) {
  return has.memory >= wanted.memory && has.cpu >= wanted.cpu;
}

}  // namespace

void HostTrees::sum_up(HostIndex host) {
  Node& node = nodes_[host];
  node.most = node.own;
  for (const HostIndex child : {node.less, node.more}) {
    if (child != kNone) add_to(node.most, nodes_[child].most);
  }
}

std::pair<HostIndex, HostIndex> HostTrees::split(HostIndex tree, Key at) {
  if (tree == kNone) return {kNone, kNone};
  Node& node = nodes_[tree];
  if (key_of(tree) < at) {
    const auto [less, more] = split(node.more, at);
    node.more = less;
    sum_up(tree);
    return {tree, more};
  }
  const auto [less, more] = split(node.less, at);
  node.less = more;
  sum_up(tree);
  return {less, tree};
}

HostIndex HostTrees::merge(HostIndex less, HostIndex more) {
  if (less == kNone) return more;
  if (more == kNone) return less;
  if (priority(less) > priority(more)) {
    nodes_[less].more = merge(nodes_[less].more, more);
    sum_up(less);
    return less;
  }
  nodes_[more].less = merge(less, nodes_[more].less);
  sum_up(more);
  return more;
}

void HostTrees::insert(std::size_t tree, Key key, const Has& has) {
  const HostIndex host = key.second;
  HostIndex* place = &roots_[tree];
  while (*place != kNone && priority(*place) >= priority(host)) {
    Node& node = nodes_[*place];
    add_to(node.most, has);
    place = key_of(*place) < key ? &node.more : &node.less;
  }
  const auto [less, more] = split(*place, key);
  nodes_[host] = {.number = key.first, .own = has, .most = {}, .less = less, .more = more};
  sum_up(host);
  *place = host;
}

void HostTrees::erase(std::size_t tree, Key key) { erase_below(roots_[tree], key); }

void HostTrees::erase_below(HostIndex& tree, Key key) {
  Node& node = nodes_[tree];
  if (tree == key.second) {
    tree = merge(node.less, node.more);
    return;
  }
  erase_below(key_of(tree) < key ? node.more : node.less, key);
  sum_up(tree);
}

std::optional<HostTrees::Key> HostTrees::first(std::size_t tree, Key from,
                                               const Has& wanted) const {
  const HostIndex host = first_below(roots_[tree], from, wanted);
  if (host == kNone) return std::nullopt;
  return key_of(host);
}

HostIndex HostTrees::first_below(HostIndex tree, Key from, const Has& wanted) const {
  if (tree == kNone || !suffices(nodes_[tree].most, wanted)) return kNone;
  const Node& node = nodes_[tree];
  if (key_of(tree) < from) return first_below(node.more, from, wanted);
  const HostIndex before = first_below(node.less, from, wanted);
  if (before != kNone) return before;
  return suffices(node.own, wanted) ? tree : first_below(node.more, from, wanted);
}

}  // namespace placement
