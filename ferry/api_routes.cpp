#include "ferry/api_routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/verb.hpp>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "ferry/migrate_request.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using nlohmann::json;

namespace {

constexpr std::size_t kMaxQuoted = 80;

struct Route {
  std::string_view path;
  http::verb verb;
  ApiAnswer (*act)(Controlled& vm, const json& body);
};

ApiAnswer tell_info(Controlled& vm, const json& body) {
  check_no_fields(body);
  return {.body = vm.info()};
}

template <void (Controlled::*act)()>
ApiAnswer do_plain(Controlled& vm, const json& body) {
  check_no_fields(body);
  (vm.*act)();
  return {.body = vm.info()};
}

ApiAnswer do_resume(Controlled& vm, const json& body) {
  vm.resume(resume_force_from_json(body));
  return {.body = vm.info()};
}

ApiAnswer do_set(Controlled& vm, const json& body) {
  vm.set(body);
  return {.body = vm.info()};
}

ApiAnswer do_set_balloon(Controlled& vm, const json& body) {
  vm.set_balloon(body);
  return {.body = vm.info()};
}

ApiAnswer do_migrate(Controlled& vm, const json& body) {
  return {.body = nullptr, .stream = vm.migrate(body)};
}

ApiAnswer tell_forecast(Controlled& vm, const json& body) {
  return {.body = nullptr, .later = vm.forecast(body)};
}

constexpr std::array kRoutes = {Route{"/info", http::verb::get, &tell_info},
                                Route{"/pause", http::verb::post, &do_plain<&Controlled::pause>},
                                Route{"/resume", http::verb::post, &do_resume},
                                Route{"/stop", http::verb::post, &do_plain<&Controlled::stop>},
                                Route{"/cancel", http::verb::post, &do_plain<&Controlled::cancel>},
                                Route{"/migrate", http::verb::post, &do_migrate},
                                Route{"/migration", http::verb::put, &do_set},
                                Route{"/balloon", http::verb::put, &do_set_balloon},
                                Route{"/forecast", http::verb::get, &tell_forecast}};

json parse_body(const std::string& text) {
  if (text.empty()) return json::object();
  json body = vmm::parse_json(text);
  if (!body.is_object()) throw std::invalid_argument("the body is no JSON object");
  return body;
}

/// The path alone, of "/info?x=1" and of "http://ferry/info".
std::string_view path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {
    const auto path = target.find('/', kScheme.size());
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  return target.substr(0, target.find_first_of("?#"));
}

std::string_view path_of(const ApiRequest& request) {
  return path_of({request.target().data(), request.target().size()});
}

ApiAnswer dispatch(Controlled& vm, const ApiRequest& request) {
  const std::string_view path = path_of(request);
  const auto* const route = std::ranges::find(kRoutes, path, &Route::path);
  if (route == kRoutes.end()) {
    return error_answer(http::status::not_found,
                        fmt::format("there is no {} here", vmm::start_of(path, kMaxQuoted)));
  }
  const bool head = request.method() == http::verb::head && route->verb == http::verb::get;
  if (request.method() != route->verb && !head) {
    const auto name = http::to_string(route->verb);
    const std::string_view verb(name.data(), name.size());
    ApiAnswer answer = error_answer(http::status::method_not_allowed,
                                    fmt::format("{} is asked for by {} alone", path, verb));
    answer.allow = route->verb == http::verb::get ? "GET, HEAD" : verb;
    return answer;
  }
  return route->act(vm, parse_body(request.body()));
}

ApiAnswer answer_about(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Conflict& error) {
    return error_answer(http::status::conflict, error.what());
  } catch (const std::invalid_argument& error) {
    return error_answer(http::status::bad_request, error.what());
  } catch (const std::exception& error) {
    return error_answer(http::status::internal_server_error, error.what());
  }
}

}  // namespace

ApiAnswer error_answer(http::status status, std::string_view message) {
  return {.body = {{"error", vmm::printable(message)}}, .status = status};
}

bool asks_to_migrate(const ApiRequest& request) {
  return request.method() == http::verb::post && path_of(request) == "/migrate";
}

ApiAnswer answer_to(Controlled& vm, const ApiRequest& request) {
  try {
    return dispatch(vm, request);
  } catch (...) {
    return answer_about(std::current_exception());
  }
}

asio::awaitable<ApiAnswer> found_out(ApiAnswer answer) {
  if (!answer.later) co_return answer;
  try {
    auto body = co_await std::exchange(answer.later, std::nullopt).value();
    answer.body = std::move(body);
  } catch (...) {
    answer = answer_about(std::current_exception());
  }
  co_return answer;
}

}  // namespace ferry
