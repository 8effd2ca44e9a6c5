#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "ferry/controlled.hpp"
#include "ferry/report_stream.hpp"

namespace ferry {

using ApiRequest = boost::beast::http::request<boost::beast::http::string_body>;

/// What the control API says to a request.
struct ApiAnswer {
  nlohmann::json body;
  boost::beast::http::status status = boost::beast::http::status::ok;
  std::string allow{};                     ///< the verbs that the path has, where another was used
  std::shared_ptr<ReportStream> stream{};  ///< instead of a body
  /// What finds the body out, where that takes a while: for found_out().
  std::optional<boost::asio::awaitable<nlohmann::json>> later{};
};

/// Whether `Controlled::settled` is to be awaited before it is answered.
[[nodiscard]] bool asks_to_migrate(const ApiRequest& request);

/// Does what `request` asks, and never throws (docs/control-api.md).
[[nodiscard]] ApiAnswer answer_to(Controlled& vm, const ApiRequest& request);
/// The answer with its body. It never throws.
[[nodiscard]] boost::asio::awaitable<ApiAnswer> found_out(ApiAnswer answer);

[[nodiscard]] ApiAnswer error_answer(boost::beast::http::status status, std::string_view message);

}  // namespace ferry
