#pragma once

#include <string>

namespace migration::handover::model {

/// The part of docs/protocol.md that is made from the rules: both tables, as Markdown.
[[nodiscard]] std::string tables_text();

}  // namespace migration::handover::model
