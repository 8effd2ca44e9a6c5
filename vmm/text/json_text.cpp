#include "vmm/text/json_text.hpp"

#include <nlohmann/json.hpp>

namespace vmm {

using nlohmann::json;

namespace {

/// Whoever goes through a value does so by recursion.
constexpr int kMaxDepth = 16;

}  // namespace

std::string json_text(const json& value, int indent) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto shallow = [&too_deep](int depth, json::parse_event_t, const json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  json value = json::parse(text, shallow, false);
  return too_deep ? json(json::value_t::discarded) : value;
}

}  // namespace vmm
