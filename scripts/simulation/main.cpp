#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data_center.hpp"
#include "placement/policies.hpp"
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
  bool as_json = false;
  std::size_t table1 = 0;  ///< guests; then this and nothing else
  bool at_once = false;
};

Charge charge_of(const Options& options) {
  Charge charge{.reuse = options.reuse, .none = options.policy == "none"};
  charge.published = options.mode == "published";
  if (charge.published && (options.table1 > 0 || options.reuse)) {
    throw std::invalid_argument("--mode published is of a day, and of hosts that keep no images");
  }
  if (charge.published) return charge;
  const auto mode = migration::mode_from(options.mode);
  if (!mode) throw std::invalid_argument(fmt::format("there is no mode '{}'", options.mode));
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

nlohmann::json run(Options options) {
  const auto start = std::chrono::steady_clock::now();
  const auto policy = placement::policy_of(options.policy == "none" ? "paper" : options.policy);
  if (!policy) {
    throw std::invalid_argument(fmt::format("there is no policy '{}': choose one of {}, none",
                                            options.policy, placement::kPolicyNames));
  }
  const Charge charge = charge_of(options);
  if (options.table1 > 0) {
    return to_json(options, table1(options.table1, charge.mode, options.reuse, options.at_once));
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
  app.add_option("--mode", options.mode);
  app.add_flag("--reuse", options.reuse);
  app.add_flag("--json", options.as_json);
  auto* table1 = app.add_option("--table1", options.table1)->check(CLI::Range(1, 100'000));
  app.add_flag("--at-once", options.at_once)->needs(table1);
  app.add_option("--policy", options.policy)->excludes(table1);
  app.add_option("--hosts", options.setting.hosts)
      ->check(CLI::Range(1, 1'000'000))
      ->excludes(table1);
  app.add_option("--repeat", options.setting.repeat)->check(CLI::Range(1, 1'000))->excludes(table1);
  app.add_flag("--memory", options.setting.memory_counts)->excludes(table1);
  CLI11_PARSE(app, argc, argv);
  try {
    study::print(options, study::run(options));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "study: " << error.what() << '\n';
    return 1;
  }
}
