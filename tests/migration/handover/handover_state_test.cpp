#include "migration/handover/handover_state.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "migration/handover/destination_side.hpp"
#include "migration/handover/source_side.hpp"
#include "tests/migration/handover/table_text.hpp"

namespace migration::handover {
namespace {

using Source = SourceSide::Stage;
using Destination = DestinationSide::Stage;

bool has(const Actions& actions, Action wanted) {
  return std::find(actions.begin(), actions.end(), wanted) != actions.end();
}

TEST(HandoverState, GoesWithoutAFaultAsTheProtocolShowsIt) {
  SourceHandover source;
  for (const auto event :
       {SourceSide::Event::accept, SourceSide::Event::guest_stopped, SourceSide::Event::all_sent}) {
    EXPECT_TRUE(source.advance(event).allowed);
  }
  EXPECT_TRUE(has(source.advance(SourceSide::Event::prepared).actions, Action::send_commit));
  EXPECT_EQ(source.stage(), Source::committed);
  EXPECT_TRUE(has(source.advance(SourceSide::Event::running).actions, Action::drop_guest));
  source.advance(SourceSide::Event::acknowledged);
  EXPECT_EQ(source.stage(), Source::there);
}

TEST(HandoverState, RefusesAWishThatNoRuleGrants) {
  SourceHandover source(SourceSide::table(), Source::committed);
  EXPECT_FALSE(source.allows(SourceSide::Event::cancel));
  const Step step = source.advance(SourceSide::Event::cancel);
  EXPECT_FALSE(step.allowed);
  EXPECT_EQ(step.actions.size(), 0U);
  EXPECT_EQ(source.stage(), Source::committed);
}

TEST(HandoverState, TakesAFrameOutOfTurnForTheLossOfTheLink) {
  SourceHandover source(SourceSide::table(), Source::stopped);
  const Step step = source.advance(SourceSide::Event::running);
  EXPECT_FALSE(step.allowed);
  EXPECT_TRUE(has(step.actions, Action::close_link));
  EXPECT_TRUE(has(step.actions, Action::run_guest));
  EXPECT_EQ(source.stage(), Source::here);
}

TEST(HandoverState, IgnoresWhatHappensToNobody) {
  DestinationHandover destination(DestinationSide::table(), Destination::running);
  EXPECT_EQ(destination.advance(DestinationSide::Event::gap).actions.size(), 0U);
  EXPECT_EQ(destination.stage(), Destination::running);
}

template <class Side>
void expect_sound_names_and_rules() {
  std::set<std::string_view> names;
  for (std::size_t at = 0; at < Side::kStages; ++at) {
    const auto stage = static_cast<typename Side::Stage>(at);
    EXPECT_TRUE(names.insert(Side::name(stage)).second) << Side::name(stage);
    EXPECT_FALSE(Side::advice(stage).text.empty()) << Side::name(stage);
    const bool says_force = Side::advice(stage).text.find("--force") != std::string_view::npos;
    EXPECT_EQ(Side::advice(stage).force, says_force) << Side::name(stage);
  }
  names.clear();
  for (std::size_t at = 0; at < Side::kEvents; ++at) {
    const auto event = static_cast<typename Side::Event>(at);
    EXPECT_TRUE(names.insert(Side::name(event)).second) << Side::name(event);
  }
  std::set<std::pair<typename Side::Stage, typename Side::Event>> rules;
  for (const Rule<Side>& rule : Side::rules()) {
    EXPECT_TRUE(rules.insert({rule.stage, rule.event}).second)
        << Side::name(rule.stage) << " / " << Side::name(rule.event);
  }
}

TEST(HandoverState, HasOneRuleForEachCaseAndANameForAll) {
  expect_sound_names_and_rules<SourceSide>();
  expect_sound_names_and_rules<DestinationSide>();
}

TEST(HandoverState, IsInTheDocumentationAsItIs) {
  std::ifstream file(HANDOVER_PROTOCOL);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find(model::tables_text()), std::string::npos)
      << "docs/protocol.md shows other tables than 'scripts/explore-handover tables' prints";
}

}  // namespace
}  // namespace migration::handover
