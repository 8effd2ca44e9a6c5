#include "ferry/forecast_request.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "ferry/migrate_request.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

using migration::forecast::Energy;
using migration::forecast::Forecast;
using migration::forecast::ModeForecast;
using nlohmann::json;

namespace {

constexpr double kMostJoulesPerByte = 1;
constexpr double kMostJoules = 1e9;
constexpr std::size_t kMaxSource = 256;

double joules(const json& value, std::string_view field, double most) {
  if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > most) {
    throw std::invalid_argument(
        fmt::format("'energy' needs '{}', a number from 0 to {}", field, most));
  }
  return value.get<double>();
}

json to_json(const ModeForecast& mode, double cents) {
  const auto rounded = [cents](double value) { return std::round(value * cents) / cents; };
  return {{"converges", mode.converges},
          {"total_ms", rounded(mode.total_ms)},
          {"downtime_ms", rounded(mode.downtime_ms)},
          {"downtime_ms_range", {rounded(mode.least_downtime_ms), rounded(mode.most_downtime_ms)}},
          {"wire_bytes", mode.wire_bytes},
          {"rounds", mode.rounds},
          {"demand_pages", mode.demand},
          {"joules", rounded(mode.joules)}};
}

}  // namespace

Energy energy_from_json(const json& from) {
  if (!from.is_object() || from.size() != 3 || !from.contains("joules_per_byte") ||
      !from.contains("joules") || !from.contains("source") || !from["source"].is_string()) {
    throw std::invalid_argument(
        "'energy' has to be {\"joules_per_byte\": a, \"joules\": b, \"source\": \"where they are "
        "from\"}: a migration of V bytes takes a V + b joules");
  }
  Energy energy;
  energy.joules_per_byte = joules(from["joules_per_byte"], "joules_per_byte", kMostJoulesPerByte);
  energy.joules = joules(from["joules"], "joules", kMostJoules);
  energy.source = vmm::printable(from["source"].get<std::string>());
  if (energy.source.empty() || energy.source.size() > kMaxSource) {
    throw std::invalid_argument("'energy' needs a 'source' of 1 to 256 bytes");
  }
  return energy;
}

json to_json(const Energy& energy) {
  return {{"joules_per_byte", energy.joules_per_byte},
          {"joules", energy.joules},
          {"source", energy.source}};
}

json to_json(const ForecastRequest& request) {
  json result = to_json(request.options);
  if (!request.probes) result.erase("to");
  result["energy"] = to_json(request.energy);
  return result;
}

ForecastRequest forecast_request_from_json(const json& from) {
  ForecastRequest request;
  json options = from;
  if (from.contains("energy")) request.energy = energy_from_json(from["energy"]);
  options.erase("energy");
  request.options = some_migrate_options_from_json(options);
  request.probes = from.contains("to");
  if (!request.probes && request.options.max_bandwidth == 0) {
    throw std::invalid_argument(
        "name 'to', a 'ferry receive' to which the link is probed, or 'max_bandwidth', what it "
        "carries, or both");
  }
  return request;
}

json to_json(const Forecast& forecast) {
  json modes = json::object();
  for (const ModeForecast& mode : forecast.modes) {
    modes[mode.returns ? "return" : std::string(migration::to_string(mode.mode))] =
        to_json(mode, 1000);
  }
  double joules = 0;
  for (const ModeForecast& mode : forecast.modes) {
    if (mode.mode == forecast.choice && !mode.returns) joules = mode.joules;
  }
  return {{"bandwidth", std::round(forecast.bandwidth)},
          {"latency_ms", forecast.latency_ms},
          {"modes", std::move(modes)},
          {"dirty_pages_per_s", std::round(forecast.dirty_pages_per_second)},
          {"working_set_pages", std::round(forecast.working_set_pages)},
          {"used_pages", forecast.used_pages},
          {"zero_share", forecast.zero_share},
          {"duplicate_share", forecast.duplicate_share},
          {"shrunk_share", forecast.shrunk_share},
          {"compressed", forecast.compressed},
          {"choice", migration::to_string(forecast.choice)},
          {"why", forecast.why},
          {"joules", joules},
          {"energy", to_json(forecast.energy)}};
}

}  // namespace ferry
