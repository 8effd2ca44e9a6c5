#include "placement/plan_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

namespace placement {

using nlohmann::json;

namespace {

struct Range {
  double least = 0;
  double most = 0;
};

/// More than any quantity of a fleet, and all whole numbers up to it are exact.
constexpr Range kAnyNumber = {0, 9e15};
/// What others are divided by.
constexpr Range kSize = {1e-6, kAnyNumber.most};
constexpr Range kBytesPerSecond = {1, kAnyNumber.most};
constexpr Range kMemory = {1, 1ULL << 43};
static_assert(std::numeric_limits<std::uint64_t>::max() / (1ULL << 43) > kMaxVms,
              "the memory of all VMs has a sum");
/// Of a sum of bytes, which might be more than a whole number of JSON can be.
constexpr double kMostBytes = 9e18;
constexpr double kDefaultLink = 125e6;
constexpr std::size_t kMaxPath = 4096;

using Names = std::unordered_map<std::string, HostIndex>;

using FieldNames = std::span<const std::string_view>;
constexpr std::array<std::string_view, 3> kFileFields = {"hosts", "vms", "receivers"};
constexpr std::array<std::string_view, 7> kHostFields = {"name", "memory",     "cpu",       "core",
                                                         "link", "idle_watts", "busy_watts"};
constexpr std::array<std::string_view, 10> kVmFields = {
    "name",    "host",       "memory", "used", "cpu", "cpu_size", "dirty_pages_per_s",
    "kept_at", "api_socket", "pinned"};
constexpr std::array<std::string_view, 3> kReceiverFields = {"host", "listen", "api_socket"};

/// One object of the file, and where it is. It has no fields but those named: a plan would be made
/// without what a misspelt one says.
class Fields {
 public:
  Fields(const json& object, std::string where, FieldNames known)
      : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw InputError(fmt::format("{} is no object", where_));
    for (const auto& [name, value] : object.items()) {
      if (std::ranges::find(known, name) != known.end()) continue;
      fail(vmm::start_of(name, kMaxName), fmt::format("is none of {}", fmt::join(known, ", ")));
    }
  }

  [[noreturn]] void fail(std::string_view field, std::string_view what) const {
    throw InputError(fmt::format("{}.{} {}", where_, field, what));
  }

  [[nodiscard]] std::optional<double> number(const char* field, Range range = kAnyNumber) const {
    const json* value = find(field);
    if (value == nullptr) return std::nullopt;
    return number_of(*value, field, range);
  }
  [[nodiscard]] double required(const char* field, Range range) const {
    const auto value = number(field, range);
    if (!value) fail(field, "is missing");
    return *value;
  }
  [[nodiscard]] std::uint64_t memory() const {
    return static_cast<std::uint64_t>(required("memory", kMemory));
  }
  /// The last ones of so many as there are: the file has its bound.
  [[nodiscard]] std::vector<double> last_numbers(const char* field, std::size_t count) const {
    const json& all = array(field, kMaxFileBytes);
    std::vector<double> values;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double value = number_of(all[i], field, kAnyNumber);
      if (all.size() - i <= count) values.push_back(value);
    }
    return values;
  }
  [[nodiscard]] bool flag(const char* field) const {
    const json* value = find(field);
    if (value != nullptr && !value->is_boolean()) fail(field, "is neither true nor false");
    return value != nullptr && value->get<bool>();
  }

  [[nodiscard]] std::string text(const char* field, std::size_t most) const {
    const json* value = find(field);
    return value == nullptr ? std::string() : text_of(*value, field, most);
  }
  [[nodiscard]] std::string name(const char* field) const {
    std::string name = text(field, kMaxName);
    if (name.empty()) fail(field, "is missing");
    return name;
  }
  [[nodiscard]] HostIndex host(const Names& hosts) const {
    return known("host", name("host"), hosts);
  }
  [[nodiscard]] std::vector<HostIndex> hosts(const char* field, const Names& hosts) const {
    std::vector<HostIndex> found;
    for (const json& value : array(field, kMaxHosts)) {
      found.push_back(known(field, text_of(value, field, kMaxName), hosts));
    }
    return found;
  }

  [[nodiscard]] const json& array(const char* field, std::size_t most) const {
    static const json kNone = json::array();
    const json* value = find(field);
    if (value == nullptr) return kNone;
    if (!value->is_array()) fail(field, "is no array");
    if (value->size() > most) fail(field, fmt::format("has more than {} elements", most));
    return *value;
  }

 private:
  [[nodiscard]] const json* find(const char* field) const {
    const auto found = object_.find(field);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] double number_of(const json& value, const char* field, Range range) const {
    if (!value.is_number()) fail(field, "is no number");
    const auto number = value.get<double>();
    if (!(number >= range.least && number <= range.most)) {
      fail(field, fmt::format("is not from {:.15g} to {:.15g}", range.least, range.most));
    }
    return number;
  }
  [[nodiscard]] std::string text_of(const json& value, const char* field, std::size_t most) const {
    if (!value.is_string()) fail(field, "is no text");
    auto text = value.get<std::string>();
    if (text.size() > most) fail(field, fmt::format("has more than {} bytes", most));
    if (!vmm::is_printable(text)) fail(field, "has control characters");
    return text;
  }
  [[nodiscard]] HostIndex known(const char* field, const std::string& name,
                                const Names& hosts) const {
    const auto found = hosts.find(name);
    if (found == hosts.end()) fail(field, fmt::format("names '{}', which is no host", name));
    return found->second;
  }

  const json& object_;
  std::string where_;
};

Host host_of(const Fields& fields) {
  Host host;
  host.name = fields.name("name");
  host.memory = fields.memory();
  host.cpu = fields.required("cpu", kSize);
  host.core = fields.number("core", kSize).value_or(host.cpu);
  host.link = fields.number("link", kBytesPerSecond).value_or(kDefaultLink);
  const auto idle = fields.number("idle_watts");
  const auto busy = fields.number("busy_watts");
  if (idle.has_value() != busy.has_value()) {
    fields.fail(idle ? "busy_watts" : "idle_watts", "is missing, though the other one is there");
  }
  if (idle && *busy < *idle) fields.fail("busy_watts", "is less than idle_watts");
  if (idle) host.watts = {*idle, *busy};
  return host;
}

Vm vm_of(const Fields& fields, const Names& hosts) {
  Vm vm;
  vm.name = fields.name("name");
  vm.host = fields.host(hosts);
  vm.memory = fields.memory();
  vm.used =
      static_cast<std::uint64_t>(fields.number("used").value_or(static_cast<double>(vm.memory)));
  if (vm.used > vm.memory) fields.fail("used", "is more than its memory");
  vm.cpu_size = fields.number("cpu_size", kSize).value_or(1);
  vm.cpu = fields.last_numbers("cpu", kRecentSamples);
  vm.dirty_pages_per_s = fields.number("dirty_pages_per_s").value_or(0);
  vm.kept_at = fields.hosts("kept_at", hosts);
  vm.api_socket = fields.text("api_socket", kMaxPath);
  vm.pinned = fields.flag("pinned");
  return vm;
}

Receiver receiver_of(const Fields& fields, const Names& hosts) {
  Receiver receiver;
  receiver.host = fields.host(hosts);
  receiver.listen = fields.text("listen", kMaxPath);
  if (receiver.listen.empty()) fields.fail("listen", "is missing");
  receiver.api_socket = fields.text("api_socket", kMaxPath);
  return receiver;
}

/// Calls `take` for each element of a list.
template <typename Take>
void each(const Fields& file, const char* list, FieldNames known, std::size_t most, Take take) {
  std::size_t index = 0;
  for (const json& element : file.array(list, most)) {
    take(Fields(element, fmt::format("{}[{}]", list, index++), known));
  }
}

json figures_json(const Figures& figures) {
  return {{"hosts_on", figures.hosts_on},
          {"watts", figures.watts},
          {"memory", figures.memory},
          {"cpu", figures.cpu},
          {"overloaded", figures.overloaded}};
}

}  // namespace

Fleet fleet_from_json(std::string_view text) {
  const json value = vmm::parse_json(text);
  if (value.is_discarded()) throw InputError("it is no JSON");
  const Fields file(value, "the file", kFileFields);
  Fleet fleet;
  Names hosts;
  Names vms;
  each(file, "hosts", kHostFields, kMaxHosts, [&](const Fields& fields) {
    fleet.hosts.push_back(host_of(fields));
    if (!hosts.emplace(fleet.hosts.back().name, fleet.hosts.size() - 1).second) {
      fields.fail("name", "is that of another host too");
    }
  });
  if (fleet.hosts.empty()) file.fail("hosts", "has no host");
  each(file, "vms", kVmFields, kMaxVms, [&](const Fields& fields) {
    fleet.vms.push_back(vm_of(fields, hosts));
    if (!vms.emplace(fleet.vms.back().name, fleet.vms.size() - 1).second) {
      fields.fail("name", "is that of another VM too");
    }
  });
  each(file, "receivers", kReceiverFields, kMaxVms,
       [&](const Fields& fields) { fleet.receivers.push_back(receiver_of(fields, hosts)); });
  return fleet;
}

json plan_to_json(const Fleet& fleet, const Plan& plan) {
  json moves = json::array();
  for (const Move& move : plan.moves) {
    moves.push_back({{"vm", fleet.vms[move.vm].name},
                     {"from", fleet.hosts[move.from].name},
                     {"to", fleet.hosts[move.to].name},
                     {"mode", migration::to_string(move.mode)},
                     {"bytes", std::llround(move.cost.bytes)},
                     {"seconds", move.cost.seconds},
                     {"downtime_ms", 1e3 * move.cost.downtime_seconds},
                     {"joules", move.cost.joules},
                     {"saves_watts", move.saves_watts},
                     {"step", move.step}});
  }
  json stuck = json::array();
  for (const Stuck& vm : plan.stuck) {
    stuck.push_back({{"vm", fleet.vms[vm.vm].name},
                     {"at", fleet.hosts[vm.at].name},
                     {"to", fleet.hosts[vm.to].name},
                     {"why", vm.why}});
  }
  return {{"moves", std::move(moves)},
          {"stuck", std::move(stuck)},
          {"before", figures_json(plan.before)},
          {"after", figures_json(plan.after)},
          {"bytes", std::llround(std::min(plan.bytes(), kMostBytes))},
          {"seconds", plan.seconds},
          {"joules", plan.joules()}};
}

}  // namespace placement
