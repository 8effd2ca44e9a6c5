#include "tests/migration/handover/mutants.hpp"

#include <algorithm>
#include <array>
#include <functional>

namespace migration::handover::model {

namespace {

template <class Side>
using Rules = std::vector<Rule<Side>>;

Tables with(const Rules<SourceSide>& rules) { return {.source = RuleTable<SourceSide>(rules)}; }
Tables with(const Rules<DestinationSide>& rules) {
  return {.destination = RuleTable<DestinationSide>(rules)};
}

constexpr std::array<const char*, 4> kOwnerWords = {
    "says that it has the VM", "says that the other side has it", "says that it is in doubt",
    "says that it ended"};

std::size_t place(Owner owner) { return static_cast<std::size_t>(owner); }

bool same_effect(const Actions& left, const Actions& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end());
}

/// Wishes and times are not looked for where no rule is for them, so that they show only in a table
/// that has one. Nothing comes when all is over, and while the VM is being started.
bool may_come(SourceSide::Stage stage, SourceEvent event) {
  if (stage == SourceSide::Stage::here || stage == SourceSide::Stage::there) return false;
  return SourceSide::kind(event) == EventKind::request || event == SourceEvent::overdue ||
         event == SourceEvent::telling_over;
}
bool may_come(DestinationSide::Stage stage, DestinationEvent event) {
  if (is_starting(stage) || stage == DestinationSide::Stage::over) return false;
  return DestinationSide::kind(event) == EventKind::request || event == DestinationEvent::overdue ||
         event == DestinationEvent::answer_over;
}

/// Makes the mutants of one side.
template <class Side>
class Mutator {
 public:
  Mutator(std::string side, std::vector<Mutant>& mutants)
      : side_(std::move(side)),
        rules_(Side::rules().begin(), Side::rules().end()),
        mutants_(&mutants) {}

  template <class Happens>
  void all(const Happens& happens) {
    for (std::size_t at = 0; at < rules_.size(); ++at) {
      drop(at);
      drop_actions(at);
      retarget(at);
    }
    for (std::size_t stage = 0; stage < Side::kStages; ++stage) {
      for (std::size_t event = 0; event < Side::kEvents; ++event) {
        const auto in = static_cast<typename Side::Stage>(stage);
        const auto what = static_cast<typename Side::Event>(event);
        if (happens.at(stage).test(event) || may_come(in, what)) allow(in, what);
      }
    }
  }

 private:
  void drop(std::size_t at) {
    Rules<Side> rules = rules_;
    rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(at));
    add(rules_[at], "no rule", rules);
  }
  void drop_actions(std::size_t at) {
    for (std::size_t action = 0; action < rules_[at].actions.size(); ++action) {
      Rules<Side> rules = rules_;
      rules[at].actions = rules[at].actions.without(action);
      add(rules_[at],
          "without '" + std::string(to_string(rules_[at].actions.begin()[action])) + "'", rules);
    }
  }
  void retarget(std::size_t at) {
    for (std::size_t stage = 0; stage < Side::kStages; ++stage) {
      const auto next = static_cast<typename Side::Stage>(stage);
      if (next == rules_[at].next) continue;
      Rules<Side> rules = rules_;
      rules[at].next = next;
      add(rules_[at], "then " + std::string(Side::name(next)), rules);
    }
  }
  void allow(typename Side::Stage stage, typename Side::Event event) {
    if (Side::table().find(stage, event) != nullptr) return;
    Rules<Side> tried;
    for (const Rule<Side>& rule : rules_) {
      const bool ignores = rule.next == stage && rule.actions.size() == 0;
      if (rule.event != event || ignores) continue;
      const auto same = [&rule](const Rule<Side>& other) {
        return other.next == rule.next && same_effect(other.actions, rule.actions);
      };
      if (std::any_of(tried.begin(), tried.end(), same)) continue;
      tried.push_back(rule);
      Rules<Side> rules = rules_;
      rules.push_back({stage, event, rule.actions, rule.next});
      add(rules.back(), "as in " + std::string(Side::name(rule.stage)), rules);
    }
  }
  void add(const Rule<Side>& rule, const std::string& change, const Rules<Side>& rules) {
    std::string what = side_;
    what.append(", ").append(Side::name(rule.stage)).append(" / ").append(Side::name(rule.event));
    mutants_->push_back({what.append(": ").append(change), with(rules)});
  }

  std::string side_;
  Rules<Side> rules_;
  std::vector<Mutant>* mutants_;
};

/// Whether anybody can ask who owns the VM then.
bool is_seen(SourceSide::Stage /*stage*/) { return true; }
bool is_seen(DestinationSide::Stage stage) {
  return !is_starting(stage) && stage != DestinationSide::Stage::over;
}

/// A stage that says of somebody else that he has the VM, or that advises force where it did not.
template <class Side>
void misadvise(const std::string& side, AdviceTable<Side> Tables::*advice,
               std::vector<Mutant>& mutants) {
  for (std::size_t stage = 0; stage < Side::kStages; ++stage) {
    const auto in = static_cast<typename Side::Stage>(stage);
    if (!is_seen(in)) continue;
    const std::string name = side + ", " + std::string(Side::name(in));
    Tables tables;
    Advice& changed = (tables.*advice).at(stage);
    const Advice right = changed;
    changed.force = !right.force;
    mutants.push_back({name + ": advises force the other way", tables});
    changed = right;
    for (const Owner owner : {Owner::here, Owner::other_side, Owner::in_doubt, Owner::nobody}) {
      changed.owner = owner;
      if (owner != right.owner)
        mutants.push_back({name + ": " + kOwnerWords.at(place(owner)), tables});
    }
  }
}

}  // namespace

std::vector<Mutant> mutants(const Coverage& happens) {
  std::vector<Mutant> all;
  Mutator<SourceSide>("source", all).all(happens.source);
  Mutator<DestinationSide>("destination", all).all(happens.destination);
  misadvise<SourceSide>("source", &Tables::source_advice, all);
  misadvise<DestinationSide>("destination", &Tables::destination_advice, all);
  return all;
}

Coverage what_happens(const Bounds& bounds) {
  Coverage all;
  for (const Bounds& each : kinds_of(bounds)) {
    const Coverage some = explore(Tables{}, each).coverage;
    for (std::size_t at = 0; at < all.source.size(); ++at) all.source.at(at) |= some.source.at(at);
    for (std::size_t at = 0; at < all.destination.size(); ++at) {
      all.destination.at(at) |= some.destination.at(at);
    }
  }
  return all;
}

bool survives(const Mutant& mutant, const Bounds& bounds) {
  for (const std::uint8_t faults : {std::uint8_t{1}, std::uint8_t{2}, bounds.faults}) {
    for (Bounds each : kinds_of(bounds)) {
      each.faults = faults;
      if (explore(mutant.tables, each).wrong) return false;
    }
  }
  return true;
}

}  // namespace migration::handover::model
