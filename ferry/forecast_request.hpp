#pragma once

#include <nlohmann/json_fwd.hpp>

#include "migration/base/options.hpp"
#include "migration/forecast/forecast.hpp"

namespace ferry {

/// What `GET /forecast` asks: the options of a migration that bear on how it goes, and what it
/// would take.
struct ForecastRequest {
  /// Of these `max_bandwidth` is the cap, and `to` whom to probe if `probes`.
  migration::MigrateOptions options;
  bool probes = false;
  migration::forecast::Energy energy;
};

/// docs/control-api.md lists the fields. std::invalid_argument names one that makes no sense.
[[nodiscard]] nlohmann::json to_json(const ForecastRequest& request);
[[nodiscard]] ForecastRequest forecast_request_from_json(const nlohmann::json& json);

/// The form of a file with the parameters of energy, too.
[[nodiscard]] nlohmann::json to_json(const migration::forecast::Energy& energy);
[[nodiscard]] migration::forecast::Energy energy_from_json(const nlohmann::json& json);

[[nodiscard]] nlohmann::json to_json(const migration::forecast::Forecast& forecast);

}  // namespace ferry
