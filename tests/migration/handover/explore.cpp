#include "tests/migration/handover/explore.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/migration/handover/alone.hpp"
#include "tests/migration/handover/judge.hpp"

namespace migration::handover::model {

namespace {

using Index = std::uint32_t;
constexpr Index kNone = ~Index{0};

/// All worlds that have been reached, each with the move that reached it first.
class Reached {
 public:
  struct Entry {
    World world;
    Index before = kNone;
    Label label{};
  };

  Reached() : slots_(std::size_t{1} << 12, kNone) {}
  [[nodiscard]] const Entry& operator[](Index at) const { return entries_[at]; }
  [[nodiscard]] Index size() const { return static_cast<Index>(entries_.size()); }

  /// Its place, and whether it is new.
  std::pair<Index, bool> add(const World& world, Index before, Label label) {
    if (entries_.size() * 2 > slots_.size()) grow();
    Index& slot = slots_[slot_of(world)];
    if (slot != kNone) return {slot, false};
    slot = size();
    entries_.push_back({world, before, label});
    return {slot, true};
  }

 private:
  [[nodiscard]] std::size_t slot_of(const World& world) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = world.hash() & mask;
    while (slots_[at] != kNone && !(entries_[slots_[at]].world == world)) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    slots_.assign(slots_.size() * 4, kNone);
    for (Index at = 0; at < size(); ++at) slots_[slot_of(entries_[at].world)] = at;
  }

  std::vector<Entry> entries_;
  std::vector<Index> slots_;
};

class Explorer {
 public:
  Explorer(const Tables& tables, const Bounds& bounds)
      : tables_(&tables),
        owners_only_(bounds.owners_only),
        mover_(tables, bounds, &result_.coverage),
        alone_(tables) {}

  Exploration run() {
    reached_.add(mover_.first(), kNone, {});
    for (Index at = 0; at < reached_.size() && !result_.wrong; ++at) look_at(at);
    if (!result_.wrong && !owners_only_) find_what_never_settles();
    result_.states = reached_.size();
    return result_;
  }

 private:
  void look_at(Index at) {
    const World world = reached_[at].world;
    if (const char* wrong = judge_all(world)) return found(at, wrong);
    mover_.moves_of(world, moves_);
    result_.transitions += moves_.size();
    for (const Move& move : moves_) {
      const auto [to, is_new] = reached_.add(move.to, at, move.label);
      if (!move.fault) by_itself_.emplace_back(to, at);
      // The world may have been reached well before by other moves: this one is what is wrong.
      if (move.violation != nullptr && !owners_only_) return found(at, move.violation, &move);
    }
    const bool ends =
        std::all_of(moves_.begin(), moves_.end(), [](const Move& move) { return move.fault; });
    const bool unharmed = world.faults_left == reached_[0].world.faults_left;
    if (ends && unharmed && !has_succeeded(world)) found(at, "it fails without a fault");
  }

  const char* judge_all(const World& world) {
    if (owners_only_) return judge_owners(world);
    const char* wrong = judge(*tables_, world);
    return wrong != nullptr ? wrong : alone_.judge(world);
  }

  [[nodiscard]] bool both_live(Index at) const {
    const World& world = reached_[at].world;
    return world.source_alive() && world.destination_alive();
  }

  /// Where nothing goes wrong any more and both sides live, every order of moves comes to an end,
  /// and each ends with all settled: worlds are taken away from the ends on, and none is left in a
  /// circle.
  void find_what_never_settles() {
    std::sort(by_itself_.begin(), by_itself_.end());
    std::vector<Index> ways(reached_.size(), 0);  // to worlds in which both live
    std::vector<bool> ends(reached_.size(), true);
    for (const auto& [to, from] : by_itself_) {
      ends[from] = false;
      if (both_live(to)) ++ways[from];
    }
    std::vector<Index> open;
    for (Index at = 0; at < reached_.size(); ++at) {
      if (!both_live(at)) continue;
      if (ends[at] && !is_settled(reached_[at].world)) {
        return found(at, "both sides live, nothing goes wrong any more, and it never settles");
      }
      if (ways[at] == 0) open.push_back(at);
    }
    take_away(open, ways);
    for (Index at = 0; at < reached_.size(); ++at) {
      if (both_live(at) && ways[at] > 0) {
        return found(at, "both sides live, nothing goes wrong any more, and it may go on for ever");
      }
    }
  }

  void take_away(std::vector<Index>& open, std::vector<Index>& ways) const {
    while (!open.empty()) {
      const Index to = open.back();
      open.pop_back();
      auto edge = std::lower_bound(by_itself_.begin(), by_itself_.end(), std::pair{to, Index{0}});
      for (; edge != by_itself_.end() && edge->first == to; ++edge) {
        if (--ways[edge->second] == 0 && both_live(edge->second)) open.push_back(edge->second);
      }
    }
  }

  void found(Index at, const char* what, const Move* last = nullptr) {
    std::vector<std::string> lines;
    if (last != nullptr) lines.push_back(line(last->label, last->to));
    for (; reached_[at].before != kNone; at = reached_[at].before) {
      lines.push_back(line(reached_[at].label, reached_[at].world));
    }
    Counterexample wrong{what, {}};
    std::for_each(lines.rbegin(), lines.rend(),
                  [&wrong](const std::string& each) { wrong.trace += each; });
    result_.wrong = std::move(wrong);
  }

  static std::string line(Label label, const World& world) {
    std::string text = "  " + describe(label);
    text.resize(std::max<std::size_t>(text.size() + 1, 56), ' ');
    text.append("source ").append(SourceSide::name(world.source));
    if (!world.source_alive()) text.append(" (dead)");
    text.append(", destination ").append(DestinationSide::name(world.destination));
    if (world.destination_life == Life::dead) text.append(" (dead)");
    return text.append("\n");
  }

  Exploration result_;
  const Tables* tables_;
  bool owners_only_;
  Mover mover_;
  Alone alone_;
  Reached reached_;
  std::vector<Move> moves_;
  std::vector<std::pair<Index, Index>> by_itself_;  ///< to, from
};

}  // namespace

Exploration explore(const Tables& tables, const Bounds& bounds) {
  return Explorer(tables, bounds).run();
}

}  // namespace migration::handover::model
