#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "migration/base/report.hpp"

namespace ferry {

// How people see a migration and a VM. Pure functions: a fact a line.

/// One line of a running migration: what goes on, how much has gone, how fast.
[[nodiscard]] std::string progress_line(const migration::MigrationReport& report);
/// The same behind a bar, in one line of a terminal with so many columns; 0: it does not tell.
[[nodiscard]] std::string progress_bar(const migration::MigrationReport& report,
                                       std::size_t columns);
/// The whole report as a table, with its rounds.
[[nodiscard]] std::string report_table(const migration::MigrationReport& report);
/// What was measured, alone; empty when nothing came of it.
[[nodiscard]] std::string figures_table(const migration::MigrationReport& report);
/// What `GET /info` answers, as a table.
[[nodiscard]] std::string info_table(const nlohmann::json& info);

}  // namespace ferry
