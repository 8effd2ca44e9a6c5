#include "ferry/migrate_request.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "ferry/units.hpp"

namespace ferry {

namespace {

using migration::MigrateOptions;
using migration::MigrateSettings;
using nlohmann::json;

constexpr std::string_view kModes = "pre-copy, post-copy, hybrid, stop-and-copy, local or auto";
constexpr std::string_view kPrepagings = "bubbling, linear or none";
constexpr unsigned kMaxRounds = 1'000'000;
constexpr double kMaxMilliseconds =
    static_cast<double>(std::chrono::milliseconds(kMaxDuration).count());

[[noreturn]] void refuse(std::string_view field, std::string_view wanted) {
  throw std::invalid_argument(fmt::format("'{}' has to be {}", field, wanted));
}

[[noreturn]] void refuse_unknown(std::string_view field) {
  throw std::invalid_argument(fmt::format("there is no '{}' in this request", field));
}

std::string text(const json& value, std::string_view field) {
  if (!value.is_string()) refuse(field, "a text");
  return value.get<std::string>();
}

bool flag(const json& value, std::string_view field) {
  if (!value.is_boolean()) refuse(field, "true or false");
  return value.get<bool>();
}

double number(const json& value, std::string_view field, double least, double most) {
  if (!value.is_number() || value.get<double>() < least || value.get<double>() > most) {
    refuse(field, fmt::format("a number from {} to {}", least, most));
  }
  return value.get<double>();
}

unsigned count(const json& value, std::string_view field, unsigned most) {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 1 ||
      value.get<std::int64_t>() > most) {
    refuse(field, fmt::format("a whole number from 1 to {}", most));
  }
  return value.get<unsigned>();
}

/// Nothing for as many as are worth it.
std::optional<unsigned> channels(const json& value, std::string_view field) {
  if (value == "auto") return std::nullopt;
  return count(value, field, migration::kMaxChannels);
}

std::uint64_t bytes(const json& value, std::string_view field) {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0) {
    refuse(field, "a whole number of bytes");
  }
  return value.get<std::uint64_t>();
}

std::chrono::microseconds milliseconds(const json& value, std::string_view field, double least) {
  return std::chrono::microseconds(
      static_cast<std::int64_t>(number(value, field, least, kMaxMilliseconds) * 1000));
}

std::uint64_t bandwidth(const json& value, std::string_view field) {
  const double rate = number(value, field, 0, kMaxBandwidth);
  if (rate > 0 && rate < 1) refuse(field, "a byte per second or more, or 0 for no cap");
  return static_cast<std::uint64_t>(rate);
}

template <typename Enum>
Enum one_of(const json& value, std::string_view field,
            std::optional<Enum> (*from)(std::string_view), std::string_view wanted) {
  const auto found = from(text(value, field));
  if (!found) refuse(field, wanted);
  return *found;
}

double in_milliseconds(std::chrono::microseconds duration) {
  return static_cast<double>(duration.count()) / 1000;
}

}  // namespace

json to_json(const MigrateOptions& options) {
  json result = {{"to", migration::to_string(options.to)},
                 {"mode", migration::to_string(options.mode)},
                 {"max_downtime_ms", in_milliseconds(options.max_downtime)},
                 {"max_bandwidth", options.max_bandwidth},
                 {"compression", migration::to_string(options.compression)},
                 {"prepaging", migration::to_string(options.prepaging)},
                 {"reuse", migration::to_string(options.reuse)},
                 {"keep_image", options.keep_image},
                 {"hot_last", options.hot_last},
                 {"throttle", options.throttle},
                 {"verify", options.verify},
                 {"timeout_ms", in_milliseconds(options.timeout)}};
  // What is not asked for is not named: a VM may be of an older process, which does not know it.
  if (options.stop_policy != migration::StopPolicy::first_fit) {
    result["stop_policy"] = migration::to_string(options.stop_policy);
  }
  if (options.channels) result["channels"] = *options.channels;
  if (options.delta_cache) result["delta_cache"] = *options.delta_cache;
  if (options.max_rounds > 0) result["max_rounds"] = options.max_rounds;
  return result;
}

json to_json(const MigrateSettings& settings) {
  json result = json::object();
  if (settings.max_bandwidth) result["max_bandwidth"] = *settings.max_bandwidth;
  if (settings.max_downtime) result["max_downtime_ms"] = in_milliseconds(*settings.max_downtime);
  if (settings.prepaging) result["prepaging"] = migration::to_string(*settings.prepaging);
  if (settings.to) result["to"] = migration::to_string(*settings.to);
  return result;
}

bool resume_force_from_json(const json& from) {
  bool force = false;
  for (const auto& [field, value] : from.items()) {
    if (field != "force") refuse_unknown(field);
    force = flag(value, field);
  }
  return force;
}

json balloon_to_json(std::uint64_t target) { return {{"target", target}}; }

std::uint64_t balloon_from_json(const json& from) {
  std::optional<std::uint64_t> target;
  for (const auto& [field, value] : from.items()) {
    if (field != "target") refuse_unknown(field);
    target = bytes(value, field);
  }
  if (!target) refuse("target", "there: the bytes that the guest is asked to do without");
  return *target;
}

void check_no_fields(const json& from) {
  if (!from.empty()) refuse_unknown(from.begin().key());
}

MigrateOptions migrate_options_from_json(const json& from) {
  if (!from.contains("to")) refuse("to", "there: the address of a 'ferry receive'");
  return some_migrate_options_from_json(from);
}

MigrateOptions some_migrate_options_from_json(const json& from) {
  MigrateOptions options;
  for (const auto& [field, value] : from.items()) {
    if (field == "to") {
      options.to = migration::parse_destination(text(value, field));
    } else if (field == "mode") {
      options.mode = one_of(value, field, &migration::mode_from, kModes);
    } else if (field == "max_downtime_ms") {
      options.max_downtime = milliseconds(value, field, 0);
    } else if (field == "max_rounds") {
      options.max_rounds = count(value, field, kMaxRounds);
    } else if (field == "stop_policy") {
      options.stop_policy =
          one_of(value, field, &migration::stop_policy_from, "first-fit or density");
    } else if (field == "max_bandwidth") {
      options.max_bandwidth = bandwidth(value, field);
    } else if (field == "compression") {
      options.compression =
          one_of(value, field, &migration::compression_from, "auto, lz4, zstd or none");
    } else if (field == "delta_cache") {
      options.delta_cache = bytes(value, field);
    } else if (field == "channels") {
      options.channels = channels(value, field);
    } else if (field == "prepaging") {
      options.prepaging = one_of(value, field, &migration::prepaging_from, kPrepagings);
    } else if (field == "reuse") {
      options.reuse =
          one_of(value, field, &migration::reuse_from, "auto, generation, content or off");
    } else if (field == "keep_image") {
      options.keep_image = flag(value, field);
    } else if (field == "hot_last") {
      options.hot_last = flag(value, field);
    } else if (field == "throttle") {
      options.throttle = flag(value, field);
    } else if (field == "verify") {
      options.verify = flag(value, field);
    } else if (field == "timeout_ms") {
      options.timeout =
          std::chrono::duration_cast<std::chrono::milliseconds>(milliseconds(value, field, 10));
    } else {
      refuse_unknown(field);
    }
  }
  return options;
}

MigrateSettings migrate_settings_from_json(const json& from) {
  MigrateSettings settings;
  for (const auto& [field, value] : from.items()) {
    if (field == "max_bandwidth") {
      settings.max_bandwidth = bandwidth(value, field);
    } else if (field == "max_downtime_ms") {
      settings.max_downtime = milliseconds(value, field, 0);
    } else if (field == "prepaging") {
      settings.prepaging = one_of(value, field, &migration::prepaging_from, kPrepagings);
    } else if (field == "to") {
      settings.to = migration::parse_destination(text(value, field));
    } else {
      refuse_unknown(field);
    }
  }
  return settings;
}

}  // namespace ferry
