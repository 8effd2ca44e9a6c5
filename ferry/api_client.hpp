#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ferry {

/// For what is answered at once; a running migration reports ten times a second.
inline constexpr std::chrono::seconds kAnswerPatience{20};

/// A client of the control API: one request on a connection of its own.
///
/// Returns the JSON object that was answered, which may take `patience` to begin. `on_line` gets
/// each line of an answer that comes in pieces, as it comes; the last is returned. It throws
/// nlohmann::json::exception or std::invalid_argument for one that no ferry would answer.
///
/// Failure: nobody answers (unavailable), who answers is no ferry (protocol), or the request was
/// refused (failed, with the reason).
[[nodiscard]] boost::asio::awaitable<nlohmann::json> api_request(
    std::string socket_path, std::string method, std::string target, nlohmann::json body,
    std::function<void(const nlohmann::json&)> on_line = nullptr,
    std::chrono::seconds patience = kAnswerPatience);

/// Failure (protocol): who answers on that socket is no ferry.
[[noreturn]] void no_ferry(const std::string& socket_path, std::string_view why);

}  // namespace ferry
