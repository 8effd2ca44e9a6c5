#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "data_center.hpp"
#include "growth.hpp"
#include "placement/policies.hpp"
#include "plug_in.hpp"
#include "rack.hpp"
#include "table1.hpp"
#include "vmm/text/json_text.hpp"

/// What scripts/study runs, with a trace on standard input.
namespace study {

namespace {

struct Options {
  std::string policy = "paper";
  std::string mode = "auto";
  Setting setting{.hosts = 0};
  bool reuse = false;
  bool vms_stay = false;
  bool as_json = false;
  std::size_t table1 = 0;  ///< guests; then this and nothing else
  bool at_once = false;
  std::size_t growth = 0;  ///< most repeats of the trace; then this and nothing else
  bool rack = false;       ///< likewise
  RackSetting rack_setting;
};

Charge charge_of(const Options& options) {
  Charge charge{
      .reuse = options.reuse, .none = options.policy == "none", .vms_stay = options.vms_stay};
  charge.published = options.mode == "published";
  if (charge.published && (options.table1 > 0 || options.rack || options.reuse)) {
    throw std::invalid_argument("--mode published is of a day, and of hosts that keep no images");
  }
  if (charge.published) return charge;
  const auto mode = migration::mode_from(options.mode);
  if (!mode || mode == migration::Mode::local) {
    throw std::invalid_argument(fmt::format("there is no mode '{}' between hosts", options.mode));
  }
  charge.mode = *mode;
  return charge;
}

nlohmann::json to_json(const Options& options, const Table1& result) {
  return {{"guests", options.table1},
          {"mode", options.mode},
          {"reuse", options.reuse},
          {"at_once", options.at_once},
          {"there_bytes", result.there_bytes},
          {"there_seconds", result.there_seconds},
          {"back_bytes", result.back_bytes},
          {"back_seconds", result.back_seconds},
          {"longest_stop_ms", 1e3 * result.stop_seconds}};
}

nlohmann::json to_json(const Options& options, const Figures& figures, double seconds) {
  return {{"policy", options.policy},
          {"mode", options.mode},
          {"energy_kwh", figures.energy_kwh},
          {"migrations", figures.migrations},
          {"bytes", figures.bytes},
          {"slatah", figures.slatah},
          {"pdm", figures.pdm},
          {"slav", figures.slav()},
          {"overloads", figures.overloads},
          {"hosts_on", figures.hosts_on},
          {"policy_seconds", figures.policy_seconds},
          {"seconds", seconds}};
}

nlohmann::json to_json(const std::vector<Decision>& decisions) {
  auto rows = nlohmann::json::array();
  for (const Decision& each : decisions) {
    rows.push_back({{"vms", each.vms},
                    {"hosts", each.hosts},
                    {"first_seconds", each.first_seconds},
                    {"next_seconds", each.next_seconds}});
  }
  return {{"decisions", std::move(rows)}};
}

nlohmann::json to_json(const RackResult& result) {
  return {{"seconds", result.seconds},
          {"late", result.late},
          {"left", result.left},
          {"bytes", result.bytes},
          {"vain_bytes", result.vain_bytes},
          {"moves", result.moves},
          {"broken", result.broken},
          {"stood", result.stood},
          {"longest_stop_ms", 1e3 * result.stop_seconds},
          {"leaves", result.leaves}};
}

void print(const Options& options, const nlohmann::json& result) {
  if (options.as_json) {
    std::cout << vmm::json_text(result) << '\n';
    return;
  }
  for (const auto& [name, value] : result.items()) {
    std::cout << fmt::format("{:<15} {}\n", name,
                             value.is_string() ? value.get<std::string>() : value.dump());
  }
}

/// What each study has no use for is refused.
void define(CLI::App& app, Options& options) {
  auto* mode = app.add_option("--mode", options.mode);
  auto* reuse = app.add_flag("--reuse", options.reuse);
  app.add_flag("--json", options.as_json);
  auto* table1 = app.add_option("--table1", options.table1)->check(CLI::Range(1, 100'000));
  app.add_flag("--at-once", options.at_once)->needs(table1);
  auto* growth = app.add_option("--growth", options.growth)->check(CLI::Range(1, 1'000));
  growth->excludes(table1)->excludes(mode)->excludes(reuse);
  auto* rack = app.add_flag("--rack", options.rack)->excludes(table1)->excludes(growth);
  rack->excludes(reuse);
  RackSetting& setting = options.rack_setting;
  app.add_flag("--host-by-host", setting.host_by_host)->needs(rack);
  app.add_option("--uplink", setting.uplink_gbit)->check(CLI::Range(0.1, 1000.0))->needs(rack);
  auto* cut_at = app.add_option("--cut-at", setting.cut.at)->check(CLI::NonNegativeNumber);
  auto* cut = app.add_option("--cut-seconds", setting.cut.seconds)->check(CLI::PositiveNumber);
  cut_at->needs(rack)->needs(cut);
  cut->needs(rack)->needs(cut_at);
  app.add_option("--policy", options.policy)->excludes(table1)->excludes(rack);
  app.add_flag("--memory", options.setting.memory_counts)->excludes(table1)->excludes(rack);
  for (CLI::Option* option :
       {app.add_option("--hosts", options.setting.hosts)->check(CLI::Range(1, 1'000'000)),
        app.add_option("--repeat", options.setting.repeat)->check(CLI::Range(1, 1'000)),
        app.add_flag("--vms-stay", options.vms_stay)}) {
    option->excludes(table1)->excludes(growth)->excludes(rack);
  }
}

Table1 by_plug_in(const Options& options) {
  if (options.table1 == 0 || options.reuse) {
    throw std::invalid_argument("--mode simgrid is of --table1, without --reuse");
  }
  return table1_by_plug_in(options.table1, options.at_once);
}

nlohmann::json run(Options options) {
  const auto start = std::chrono::steady_clock::now();
  const auto policy = placement::policy_of(options.policy == "none" ? "paper" : options.policy);
  if (!policy) {
    throw std::invalid_argument(fmt::format("there is no policy '{}': choose one of {}, none",
                                            options.policy, placement::kPolicyNames));
  }
  if (options.mode == "simgrid") return to_json(options, by_plug_in(options));
  const Charge charge = charge_of(options);
  if (options.table1 > 0) {
    return to_json(options, table1(options.table1, charge.mode, options.reuse, options.at_once));
  }
  if (options.rack) {
    options.rack_setting.mode = charge.mode;
    return to_json(empty_rack(options.rack_setting));
  }
  if (options.growth > 0) {
    return to_json(
        growth(*policy, read_traces(std::cin), options.growth, options.setting.memory_counts));
  }
  if (options.setting.hosts == 0) options.setting.hosts = kHosts * options.setting.repeat;
  const std::vector<Trace> traces = read_traces(std::cin);
  const Figures figures =
      simulate(make_fleet(options.setting, traces.size()), traces, *policy, charge);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return to_json(options, figures, took.count());
}

}  // namespace

}  // namespace study

int main(int argc, char** argv) {
  study::Options options;
  CLI::App app("Simulates a day of a data center, whose trace is read from standard input.");
  study::define(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    study::print(options, study::run(options));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "study: " << error.what() << '\n';
    return 1;
  }
}
