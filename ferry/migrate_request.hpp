#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "migration/base/options.hpp"

namespace ferry {

// What the bodies of the control API's requests carry. docs/control-api.md lists the fields. Each
// function that reads one throws std::invalid_argument that names the field: unknown, missing, of a
// wrong type, or out of bounds.

[[nodiscard]] nlohmann::json to_json(const migration::MigrateOptions& options);
[[nodiscard]] nlohmann::json to_json(const migration::MigrateSettings& settings);
[[nodiscard]] migration::MigrateOptions migrate_options_from_json(const nlohmann::json& json);
/// The same without `to`, which may be missing.
[[nodiscard]] migration::MigrateOptions some_migrate_options_from_json(const nlohmann::json& json);
[[nodiscard]] migration::MigrateSettings migrate_settings_from_json(const nlohmann::json& json);

/// `POST /resume`: whether by force.
[[nodiscard]] bool resume_force_from_json(const nlohmann::json& json);
/// `PUT /balloon`: the bytes that the guest is asked to do without.
[[nodiscard]] nlohmann::json balloon_to_json(std::uint64_t target);
[[nodiscard]] std::uint64_t balloon_from_json(const nlohmann::json& json);
/// The others.
void check_no_fields(const nlohmann::json& json);

}  // namespace ferry
