#include "tests/migration/handover/table_text.hpp"

#include "migration/handover/destination_side.hpp"
#include "migration/handover/source_side.hpp"

namespace migration::handover::model {

namespace {

std::string joined(const Actions& actions) {
  std::string text;
  for (const Action action : actions) {
    if (!text.empty()) text += ", ";
    text += to_string(action);
  }
  return text;
}

template <class Side>
void add_row(std::string& text, const Rule<Side>& rule, bool first_of_stage) {
  text.append("| ").append(first_of_stage ? Side::name(rule.stage) : "");
  text.append(" | ").append(Side::name(rule.event));
  text.append(" | ").append(joined(rule.actions));
  text.append(" | ").append(rule.next == rule.stage ? "the same" : Side::name(rule.next));
  text.append(" |\n");
}

template <class Side>
void add_table(std::string& text, const char* side) {
  text.append("**").append(side).append("**\n\n| stage | event | what it does | next stage |\n");
  text.append("|---|---|---|---|\n");
  const Rule<Side>* before = nullptr;
  for (const Rule<Side>& rule : Side::rules()) {
    add_row(text, rule, before == nullptr || before->stage != rule.stage);
    before = &rule;
  }
}

}  // namespace

std::string tables_text() {
  std::string text;
  add_table<SourceSide>(text, "The source");
  text += '\n';
  add_table<DestinationSide>(text, "The destination");
  return text;
}

}  // namespace migration::handover::model
