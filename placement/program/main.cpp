#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "placement/balance.hpp"
#include "placement/drain.hpp"
#include "placement/plan_json.hpp"
#include "placement/policies.hpp"
#include "placement/program/apply.hpp"
#include "placement/program/view.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

/// `ferry plan`, which runs this program: what it says is in the name of that.
namespace placement {

namespace {

using nlohmann::json;

/// As those of ferry (sysexits.h).
enum class Status { ok = 0, failed = 1, usage = 64, bad_file = 65, no_input = 66, os_error = 71 };

struct Options {
  std::string file;
  std::string policy = "paper";
  std::vector<std::string> drain;  ///< hosts
  bool balance = false;
  bool apply = false;
  bool as_json = false;
  std::string ferry;
};

class Failure : public std::runtime_error {
 public:
  Failure(Status status, const std::string& why) : std::runtime_error(why), status_(status) {}
  [[nodiscard]] Status status() const { return status_; }

 private:
  Status status_;
};

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return;
  }
  throw std::system_error(errno, std::generic_category(), "cannot write to standard output");
}

/// A plan is carried out whether anybody hears of it or not.
void say(std::string_view text) {
  const std::string line = vmm::printable(text, "\n") + '\n';
  static_cast<void>(std::fwrite(line.data(), 1, line.size(), stderr));
}

/// The ferry beside this program.
std::string own_ferry() {
  return std::filesystem::read_symlink("/proc/self/exe").replace_filename("ferry").string();
}

std::string content_of(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status)) {
    throw Failure(Status::no_input, fmt::format("{} is a directory", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure(Status::no_input, fmt::format("{} cannot be opened", path));
  std::string text;
  std::array<char, 65536> piece{};
  while (file.read(piece.data(), piece.size()), file.gcount() > 0) {
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() <= kMaxFileBytes) continue;
    throw Failure(Status::bad_file,
                  fmt::format("{} has more than {} MiB", path, kMaxFileBytes >> 20));
  }
  return text;
}

Fleet read_fleet(const std::string& path) {
  try {
    return fleet_from_json(content_of(path));
  } catch (const InputError& error) {
    throw Failure(Status::bad_file, fmt::format("{}: {}", path, error.what()));
  }
}

HostIndex host_named(const Fleet& fleet, const std::string& name) {
  const auto found = std::ranges::find(fleet.hosts, name, &Host::name);
  if (found == fleet.hosts.end()) {
    throw Failure(Status::usage, fmt::format("--drain: the file has no host '{}'", name));
  }
  return static_cast<HostIndex>(found - fleet.hosts.begin());
}

std::vector<HostIndex> drained_hosts(const Options& options, const Fleet& fleet) {
  std::vector<HostIndex> hosts;
  for (const std::string& name : options.drain) hosts.push_back(host_named(fleet, name));
  return hosts;
}

std::unique_ptr<Policy> policy_for(const Options& options, const Fleet& fleet) {
  if (!options.drain.empty()) return std::make_unique<Drain>(drained_hosts(options, fleet));
  if (options.balance) return std::make_unique<Balance>();
  auto policy = policy_of(options.policy);
  if (!policy) {
    throw Failure(Status::usage,
                  fmt::format("--policy: '{}' is none of {}", options.policy, kPolicyNames));
  }
  return policy;
}

/// Those that drained hosts cannot be rid of.
void note_left(const Fleet& fleet, const std::vector<HostIndex>& drained,
               const std::vector<HostIndex>& targets, Plan& plan) {
  for (VmIndex vm = 0; vm < targets.size(); ++vm) {
    if (std::ranges::find(drained, targets[vm]) == drained.end()) continue;
    plan.stuck.push_back(
        {vm, targets[vm], targets[vm],
         fleet.vms[vm].pinned
             ? "the file says that it is pinned"
             : fmt::format("no other host has {} MiB of memory and {:.2f} of CPU left for it",
                           fleet.vms[vm].memory >> 20, demand_of(fleet.vms[vm]).needs())});
  }
}

/// With what became of each move.
json applied_json(const Fleet& fleet, const Plan& plan, const std::vector<Outcome>& outcomes) {
  json value = plan_to_json(fleet, plan);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    json& move = value["moves"][i];
    move["outcome"] = to_string(outcomes[i].kind);
    move["report"] = outcomes[i].report;
    if (outcomes[i].kind == Outcome::Kind::failed) move["error"] = outcomes[i].why;
  }
  json places = json::object();
  const std::vector<HostIndex> after = places_after(fleet, plan.moves, outcomes);
  for (VmIndex vm = 0; vm < after.size(); ++vm) {
    places[fleet.vms[vm].name] = fleet.hosts[after[vm]].name;
  }
  value["places"] = std::move(places);
  return value;
}

Status carry_out(const Options& options, const Fleet& fleet, const Plan& plan) {
  const std::vector<Errand> errands = errands_of(fleet, plan.moves);
  if (!options.as_json) print(plan_table(fleet, plan));
  const auto tell = [&](const Move& move, const Outcome& outcome) {
    say(outcome_line(fleet, move, outcome));
  };
  ChildRunner runner;
  const auto run = [&](const auto& commands) { return runner.run(commands); };
  const Applied applied =
      apply(options.ferry.empty() ? own_ferry() : options.ferry, plan.moves, errands, run, tell);
  if (options.as_json) {
    print(vmm::json_text(applied_json(fleet, plan, applied.outcomes), 2) + '\n');
  }
  if (applied.all_moved()) return plan.stuck.empty() ? Status::ok : Status::failed;
  if (applied.signal != 0) {
    say(fmt::format("SIG{}: no further move begins", ::sigabbrev_np(applied.signal)));
  }
  say(standing(fleet, plan.moves, applied.outcomes));
  return Status::failed;
}

Status run(const Options& options) {
  const Fleet fleet = read_fleet(options.file);
  const auto policy = policy_for(options, fleet);
  const std::vector<HostIndex> targets = policy->place(fleet);
  Plan plan = make_plan(fleet, targets);
  note_left(fleet, drained_hosts(options, fleet), targets, plan);
  if (options.apply) return carry_out(options, fleet, plan);
  print(options.as_json ? vmm::json_text(plan_to_json(fleet, plan), 2) + '\n'
                        : plan_table(fleet, plan));
  return plan.stuck.empty() ? Status::ok : Status::failed;
}

/// Empty when help was asked for, and printed.
std::optional<Options> parse(int argc, const char* const* argv) {
  Options options;
  CLI::App app("Plans which VMs should move where; run by 'ferry plan', whose help tells more.",
               "ferry-plan");
  const auto not_empty = [](const std::string& name) {
    return name.empty() ? "the name is empty" : "";
  };
  app.add_option("FILE", options.file)->required()->check(not_empty);
  auto* policy = app.add_option("--policy", options.policy)->check(not_empty);
  auto* drain = app.add_option("--drain", options.drain)->check(not_empty)->excludes(policy);
  drain->allow_extra_args(false);
  app.add_flag("--balance", options.balance)->excludes(policy)->excludes(drain);
  app.add_flag("--apply", options.apply);
  app.add_flag("--json", options.as_json);
  app.add_option("--ferry", options.ferry)->check(not_empty);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return std::nullopt;
    }
    throw Failure(Status::usage, error.what());
  }
  return options;
}

Status guarded_main(int argc, const char* const* argv) {
  Status status{};
  std::string why;
  bool as_json = std::any_of(argv, argv + argc,
                             [](const char* word) { return std::string_view(word) == "--json"; });
  try {
    const auto options = parse(argc, argv);
    return options ? run(*options) : Status::ok;
  } catch (const Failure& error) {
    status = error.status();
    why = error.what();
  } catch (const CannotApply& error) {
    status = Status::failed;
    why = error.what();
  } catch (const std::exception& error) {
    status = Status::os_error;
    why = error.what();
  }
  say("ferry: " + why);
  if (as_json) print(vmm::json_text({{"error", vmm::printable(why)}}) + '\n');
  return status;
}

}  // namespace

}  // namespace placement

int main(int argc, char** argv) {
  try {
    return static_cast<int>(placement::guarded_main(argc, argv));
  } catch (const std::exception&) {  // standard output
    return static_cast<int>(placement::Status::os_error);
  }
}
