#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <nlohmann/json.hpp>
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
};

/// Whether `Controlled::settled` is to be awaited before it is answered.
[[nodiscard]] bool asks_to_migrate(const ApiRequest& request);

/// Whether `answer_with_forecast` is to answer it, which takes a while.
[[nodiscard]] bool asks_for_forecast(const ApiRequest& request);
[[nodiscard]] boost::asio::awaitable<ApiAnswer> answer_with_forecast(Controlled& vm,
                                                                     const ApiRequest& request);

/// Does what `request` asks, and never throws (docs/control-api.md).
[[nodiscard]] ApiAnswer answer_to(Controlled& vm, const ApiRequest& request);

[[nodiscard]] ApiAnswer error_answer(boost::beast::http::status status, std::string_view message);

}  // namespace ferry
