#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace vmm {

/// `value` as JSON, on one line unless it is to be indented. Never fails: a text in it that is not
/// UTF-8, such as a file's name, is written with U+FFFD in place of what is wrong.
[[nodiscard]] std::string json_text(const nlohmann::json& value, int indent = -1);

/// What somebody else sent as JSON, with bounded depth; a discarded value when it is none.
[[nodiscard]] nlohmann::json parse_json(std::string_view text);

}  // namespace vmm
