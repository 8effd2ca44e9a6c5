#pragma once

#include <nlohmann/json_fwd.hpp>

#include "migration/options.hpp"

namespace ferry {

// What `POST /migrate` and `PUT /migration` carry. docs/control-api.md lists the fields.

[[nodiscard]] nlohmann::json to_json(const migration::MigrateOptions& options);
[[nodiscard]] nlohmann::json to_json(const migration::MigrateSettings& settings);
/// std::invalid_argument that names the field: unknown, missing, or out of bounds.
[[nodiscard]] migration::MigrateOptions migrate_options_from_json(const nlohmann::json& json);
[[nodiscard]] migration::MigrateSettings migrate_settings_from_json(const nlohmann::json& json);

}  // namespace ferry
