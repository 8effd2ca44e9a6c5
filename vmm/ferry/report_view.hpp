#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "migration/report.hpp"

namespace ferry {

// How people see a migration and a VM. Pure functions: text in lines of at most 100 columns.

/// One line of a running migration: what goes on, how much has gone, how fast.
[[nodiscard]] std::string progress_line(const migration::MigrationReport& report);
/// The same behind a bar, for a terminal.
[[nodiscard]] std::string progress_bar(const migration::MigrationReport& report);
/// The whole report as a table, with its rounds.
[[nodiscard]] std::string report_table(const migration::MigrationReport& report);
/// What `GET /info` answers, as a table.
[[nodiscard]] std::string info_table(const nlohmann::json& info);

}  // namespace ferry
