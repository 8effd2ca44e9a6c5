#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "migration/handover/action.hpp"

/// Who owns the VM while it changes hands. Each side is a list of rules, which are all there is:
/// what the rules do not say does not happen. docs/protocol.md shows the same rules as tables; the
/// model test explores both sides with whatever may happen to them and to what is between them.
///
/// Nothing here has a clock, a socket or a thread. Whoever has these tells what happened, and does
/// what it is told.
namespace migration::handover {

/// What is done about an event that no rule names.
enum class EventKind : std::uint8_t {
  frame,       ///< it came out of turn: the link is closed, and is lost
  request,     ///< somebody's wish: it is refused
  occurrence,  ///< it means nothing now
};

/// In `stage`, when `event` happens: `actions`, then `next`.
template <class Side>
struct Rule {
  typename Side::Stage stage;
  typename Side::Event event;
  Actions actions;
  typename Side::Stage next;
};

/// The rules of a side, to be looked up.
template <class Side>
class RuleTable {
 public:
  using Stage = typename Side::Stage;
  using Event = typename Side::Event;

  explicit RuleTable(std::span<const Rule<Side>> rules) : rules_(rules.begin(), rules.end()) {
    for (std::size_t at = 0; at < rules_.size(); ++at) {
      index_.at(place(rules_[at].stage, rules_[at].event)) = static_cast<std::uint8_t>(at + 1);
    }
  }
  /// None when no rule names it.
  [[nodiscard]] const Rule<Side>* find(Stage stage, Event event) const {
    const std::size_t at = index_[place(stage, event)];
    return at == 0 ? nullptr : &rules_[at - 1];
  }
  [[nodiscard]] std::span<const Rule<Side>> rules() const { return rules_; }

 private:
  static constexpr std::size_t place(Stage stage, Event event) {
    return (static_cast<std::size_t>(stage) * Side::kEvents) + static_cast<std::size_t>(event);
  }

  std::vector<Rule<Side>> rules_;
  std::array<std::uint8_t, Side::kStages * Side::kEvents> index_{};  ///< 0: no rule
};

/// What to do, and whether the event was welcome.
struct Step {
  bool allowed = false;
  Actions actions;
};

/// One side of one handover: `SourceSide` or `DestinationSide`.
template <class Side>
class HandoverState {
 public:
  using Stage = typename Side::Stage;
  using Event = typename Side::Event;

  explicit HandoverState(const RuleTable<Side>& table = Side::table(),
                         Stage stage = Side::kFirstStage)
      : table_(&table), stage_(stage) {}

  Step advance(Event event) {
    if (const Rule<Side>* rule = table_->find(stage_, event)) {
      stage_ = rule->next;
      return {true, rule->actions};
    }
    if (Side::kind(event) != EventKind::frame) return {};
    return {false, Actions{Action::close_link}.then(advance(Event::link_lost).actions)};
  }
  [[nodiscard]] Stage stage() const { return stage_; }
  /// Whether the event would be welcome: to tell a request's maker at once.
  [[nodiscard]] bool allows(Event event) const { return table_->find(stage_, event) != nullptr; }

 private:
  const RuleTable<Side>* table_;
  Stage stage_;
};

}  // namespace migration::handover
