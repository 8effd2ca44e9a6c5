#include "ferry/plan_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "ferry/exit_status.hpp"
#include "ferry/options.hpp"

namespace ferry {

namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  ferry plan fleet.json                     # idle VMs together, others alone\n"
    "  ferry plan fleet.json --drain host-a      # empty a host for its maintenance\n"
    "  ferry plan fleet.json --balance --apply   # spread load, and move the VMs\n"
    "Nothing moves without --apply. The file's form is in docs/placement.md.";

constexpr const char* kPlanner = "ferry-plan";

/// Beside this program, as it is built, or where it is installed.
std::filesystem::path find_planner(const std::filesystem::path& own) {
  const std::filesystem::path here = own.parent_path();
  const std::array places = {here / kPlanner,
                             (here / FERRY_PLAN_FROM_BIN / kPlanner).lexically_normal()};
  for (const auto& place : places) {
    if (::access(place.c_str(), X_OK) == 0) return place;
  }
  throw Failure(ExitStatus::unavailable,
                fmt::format("{} is missing, which makes plans: it is neither {} nor {}", kPlanner,
                            places[0].string(), places[1].string()));
}

/// Empty is what stands for none.
std::string parse_name(std::string_view text) {
  if (text.empty()) throw std::invalid_argument("the name is empty");
  return std::string(text);
}

}  // namespace

void define_plan(CLI::App& app, PlanCommand& plan) {
  CLI::App& command =
      *add_command(app, "plan", "say which VMs should move where, and what it costs", kExamples);
  add(command, "FILE", plan.file, &parse_path, "hosts, VMs and receivers, as JSON")->required();
  add(command, "--policy", plan.policy, &parse_name,
      "paper (the default: idle VMs share few hosts, active ones have hosts of their own), "
      "power-aware (best fit by watts, local regression), baseline (the same as published) or "
      "first-fit")
      ->type_name("NAME");
  add_each(command, "--drain", plan.drain, &parse_name,
           "instead of a policy: move all VMs away from this host, and no others; several times: "
           "from each of these")
      ->type_name("HOST");
  command.add_flag("--balance", plan.balance, "instead of a policy: spread load over all hosts");
  command.add_flag("--apply", plan.apply,
                   "carry the plan out by 'ferry migrate', up to the first step that fails");
  command.add_flag("--json", plan.json, "print JSON on standard output");
  command.parse_complete_callback([&plan] {
    const int ways = (plan.policy.empty() ? 0 : 1) + (plan.drain.empty() ? 0 : 1) + plan.balance;
    if (ways > 1) throw CLI::ExcludesError("one of --policy, --drain and --balance", "the others");
  });
}

int plan(const PlanCommand& command) {
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe");
  const std::filesystem::path planner = find_planner(own);
  // In one word with its value, an option's value is never taken for an option.
  std::vector<std::string> words = {planner.string(), "--ferry=" + own.string()};
  if (!command.policy.empty()) words.push_back("--policy=" + command.policy);
  for (const std::string& host : command.drain) words.push_back("--drain=" + host);
  if (command.balance) words.emplace_back("--balance");
  if (command.apply) words.emplace_back("--apply");
  if (command.json) words.emplace_back("--json");
  words.emplace_back("--");
  words.push_back(command.file);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(planner.c_str(), arguments.data());
  throw std::system_error(errno, std::generic_category(), planner.string());
}

}  // namespace ferry
