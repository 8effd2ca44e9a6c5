#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ferry {

/// What `ferry predict` shows to people of what `GET /forecast` answered. nlohmann::json::exception
/// when it is none.
[[nodiscard]] std::string forecast_table(const nlohmann::json& forecast);

}  // namespace ferry
