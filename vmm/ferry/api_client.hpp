#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace ferry {

/// A client of the control API: one request on a connection of its own.
///
/// Returns the JSON that was answered. `on_line` gets each line of an answer that comes in pieces,
/// as it comes; the last is returned. Failure: nobody answers (unavailable), or the request was
/// refused (failed, with the reason).
[[nodiscard]] boost::asio::awaitable<nlohmann::json> api_request(
    std::string socket_path, std::string method, std::string target, nlohmann::json body,
    std::function<void(const nlohmann::json&)> on_line = nullptr);

}  // namespace ferry
