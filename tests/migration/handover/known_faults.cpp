#include "tests/migration/handover/known_faults.hpp"

namespace migration::handover::model {

namespace {

using enum Action;
using S = SourceSide::Stage;
using SE = SourceSide::Event;
using D = DestinationSide::Stage;
using DE = DestinationSide::Event;

template <class Side>
std::vector<Rule<Side>> without(typename Side::Stage stage, typename Side::Event event) {
  std::vector<Rule<Side>> rules;
  for (const Rule<Side>& rule : Side::rules()) {
    if (rule.stage != stage || rule.event != event) rules.push_back(rule);
  }
  return rules;
}

template <class Side>
std::vector<Rule<Side>> with(const Rule<Side>& changed) {
  std::vector<Rule<Side>> rules = without<Side>(changed.stage, changed.event);
  rules.push_back(changed);
  return rules;
}

Tables source_without(S stage, SE event) {
  return {.source = RuleTable<SourceSide>(without<SourceSide>(stage, event))};
}
Tables destination_without(D stage, DE event) {
  return {.destination = RuleTable<DestinationSide>(without<DestinationSide>(stage, event))};
}
Tables destination_with(const Rule<DestinationSide>& changed) {
  return {.destination = RuleTable<DestinationSide>(with(changed))};
}

constexpr const char* kStuck = "the destination hangs, and the source cannot be made to run the VM";

}  // namespace

std::vector<KnownFault> known_faults() {
  return {
      {"the VM is passed on before the source knows that it arrived",
       "the VM may be passed on when it should not, or may not when it should", "two owners",
       destination_with({D::running, DE::pass_on, {hand_on}, D::over})},
      {"the guest powers off, and its process ends, before the source knows that it arrived",
       "the destination ends without an answer", "a guest that has ended runs again",
       destination_with({D::running, DE::guest_ended, {}, D::over})},
      {"a destination that was frozen obeys a Commit of before", "two owners", "two owners",
       destination_without(D::prepared, DE::gap)},
      {"force at the destination while the source has asked",
       "the destination's advice of --force is not what it grants", nullptr,
       destination_with({D::prepared, DE::force, {start_guest}, D::starting_forced})},
      {"no bound on the time until the last page has landed", kStuck, nullptr,
       source_without(S::stopped, SE::overdue)},
      {"no bound on the time until Prepared", kStuck, nullptr,
       source_without(S::completing, SE::overdue)},
      // Found by the model.
      {"no bound on the time from Commit to Running", kStuck, nullptr,
       source_without(S::committed, SE::overdue)},
      {"a source that has asked may take its time with what it wants",
       "the source hangs, and the destination waits for ever", nullptr,
       destination_without(D::prepared, DE::overdue)},
      {"an inquiry leaves the control connection of before open",
       "the destination has a connection, or has none, when it should", "two owners",
       destination_with({D::prepared, DE::inquire, {send_status_prepared}, D::prepared})},
      {"a VM that cannot be started by force is dropped, though its source is dead",
       "the destination gives up a VM that it holds prepared", nullptr,
       destination_with({D::starting_forced, DE::start_failed, {drop_guest}, D::refused})},
      {"a receiver that is stopped while the source may have committed does not stay to say so",
       "the destination ends without an answer", nullptr,
       destination_with({D::prepared, DE::decline, {send_refused, drop_guest}, D::over})},
  };
}

}  // namespace migration::handover::model
