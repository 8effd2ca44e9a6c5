#include "placement/program/view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace placement {

namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;

std::size_t width_of(const Fleet& fleet, const Plan& plan) {
  std::size_t width = 4;
  for (const Move& move : plan.moves) {
    width = std::max({width, fleet.vms[move.vm].name.size(), fleet.hosts[move.from].name.size(),
                      fleet.hosts[move.to].name.size()});
  }
  return std::min<std::size_t>(width, 32);
}

std::string summary(const Plan& plan) {
  std::string text =
      fmt::format("{} moves: {:.1f} MiB, {:.1f} s, {:.0f} J\nhosts on: {} before, {} after",
                  plan.moves.size(), plan.bytes() / kMebibyte, plan.seconds, plan.joules(),
                  plan.before.hosts_on, plan.after.hosts_on);
  const double saved = plan.before.watts - plan.after.watts;
  if (plan.before.watts > 0) {
    text += fmt::format("; {:.0f} W before, {:.0f} W after", plan.before.watts, plan.after.watts);
  }
  if (saved > 0)
    text += fmt::format(", so that the moves pay after {:.0f} s", plan.joules() / saved);
  return text + '\n';
}

double number(const nlohmann::json& report, const char* field) {
  const auto found = report.find(field);
  return found != report.end() && found->is_number() ? found->get<double>() : 0;
}

}  // namespace

std::string plan_table(const Fleet& fleet, const Plan& plan) {
  std::string text;
  if (plan.moves.empty()) {
    text = "nothing to move\n";
  } else {
    const std::size_t width = width_of(fleet, plan);
    text = fmt::format("{:>4}  {:<{}}  {:<{}}  {:<{}}  {:<9} {:>9} {:>8} {:>8} {:>7} {:>7}\n",
                       "STEP", "VM", width, "FROM", width, "TO", width, "MODE", "MIB", "SECONDS",
                       "STOP MS", "JOULES", "SAVES W");
    for (const Move& move : plan.moves) {
      fmt::format_to(std::back_inserter(text),
                     "{:>4}  {:<{}}  {:<{}}  {:<{}}  {:<9} {:>9.1f} {:>8.2f} {:>8.1f} {:>7.0f} "
                     "{:>7.1f}\n",
                     move.step, fleet.vms[move.vm].name, width, fleet.hosts[move.from].name, width,
                     fleet.hosts[move.to].name, width, migration::to_string(move.mode),
                     move.cost.bytes / kMebibyte, move.cost.seconds,
                     1e3 * move.cost.downtime_seconds, move.cost.joules, move.saves_watts);
    }
    text += summary(plan);
  }
  for (const Stuck& stuck : plan.stuck) {
    const Vm& vm = fleet.vms[stuck.vm];
    fmt::format_to(std::back_inserter(text), "{} {} {}: {}\n", vm.name,
                   stuck.at == vm.host ? "stays at" : "gets no further than",
                   fleet.hosts[stuck.at].name, stuck.why);
  }
  return text;
}

std::string outcome_line(const Fleet& fleet, const Move& move, const Outcome& outcome) {
  const std::string_view vm = fleet.vms[move.vm].name;
  const std::string_view from = fleet.hosts[move.from].name;
  const std::string_view to = fleet.hosts[move.to].name;
  if (outcome.kind == Outcome::Kind::failed) {
    return fmt::format("step {}: {} did not get from {} to {}: {}", move.step, vm, from, to,
                       outcome.why);
  }
  const nlohmann::json report =
      outcome.report.is_object() ? outcome.report : nlohmann::json::object();
  return fmt::format("step {}: {} moved from {} to {}: {:.1f} MiB, {:.2f} s, stopped for {:.1f} ms",
                     move.step, vm, from, to, number(report, "wire_bytes") / kMebibyte,
                     number(report, "total_ms") / 1e3, number(report, "downtime_ms"));
}

std::string standing(const Fleet& fleet, std::span<const Move> moves,
                     std::span<const Outcome> outcomes) {
  const std::vector<HostIndex> places = places_after(fleet, moves, outcomes);
  std::string text;
  std::vector<bool> told(fleet.vms.size(), false);
  for (std::size_t i = moves.size(); i-- > 0;) {
    const VmIndex vm = moves[i].vm;
    if (told[vm]) continue;
    told[vm] = true;
    const bool failed = std::ranges::any_of(outcomes, [&](const Outcome& outcome) {
      return outcome.kind == Outcome::Kind::failed &&
             moves[static_cast<std::size_t>(&outcome - outcomes.data())].vm == vm;
    });
    const char* what = places[vm] == moves[i].to ? "as planned"
                       : failed                  ? "its move failed: 'ferry info' says more"
                                                 : "its move was not begun";
    text =
        fmt::format("{} is at {} ({})\n", fleet.vms[vm].name, fleet.hosts[places[vm]].name, what) +
        text;
  }
  return text;
}

}  // namespace placement
