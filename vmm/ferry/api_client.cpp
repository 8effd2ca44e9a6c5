#include "vmm/ferry/api_client.hpp"

#include <fmt/format.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "vmm/ferry/exit_status.hpp"

namespace ferry {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using nlohmann::json;
using Protocol = asio::local::stream_protocol;

namespace {

/// A running migration reports ten times a second.
constexpr std::chrono::seconds kAnswerPatience{20};
constexpr std::uint64_t kMaxAnswer = std::uint64_t{1} << 30;

[[noreturn]] void unreachable(ExitStatus status, const std::string& path, const std::string& why) {
  throw Failure(status, fmt::format("no answer on the control socket {}: {}. Is the VM's process "
                                    "alive, and is this its --api-socket?",
                                    path, why));
}

/// Nothing has been asked yet.
[[noreturn]] void cannot_connect(const std::string& path, const boost::system::error_code& error) {
  const ExitStatus status = status_of(error);
  if (status == ExitStatus::no_permission) {
    throw Failure(status, fmt::format("the control socket {} is for the user who started the VM's "
                                      "process: {}",
                                      path, error.message()));
  }
  std::error_code unknown;
  const auto there = std::filesystem::status(path, unknown).type();
  const bool no_socket = !unknown && there != std::filesystem::file_type::socket &&
                         there != std::filesystem::file_type::not_found;
  unreachable(ExitStatus::unavailable, path, no_socket ? "it is no socket" : error.message());
}

/// Takes the whole lines from the front of `text`.
json take_lines(std::string& text, const std::function<void(const json&)>& on_line, json last) {
  for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
    last = json::parse(text.substr(0, end));
    text.erase(0, end + 1);
    on_line(last);
  }
  return last;
}

}  // namespace

asio::awaitable<json> api_request(std::string socket_path, std::string method, std::string target,
                                  json body, std::function<void(const json&)> on_line) {
  beast::basic_stream<Protocol> stream(co_await asio::this_coro::executor);
  json answer;
  http::status status{};
  const auto took_line = [&](const json& line) {
    if (on_line && status == http::status::ok) on_line(line);
  };
  stream.expires_after(kAnswerPatience);
  boost::system::error_code refused;
  co_await stream.async_connect(Protocol::endpoint(socket_path),
                                asio::redirect_error(asio::use_awaitable, refused));
  if (refused) cannot_connect(socket_path, refused);
  // An answer that comes in pieces is one to what is under way by then.
  const ExitStatus lost = on_line ? ExitStatus::failed : ExitStatus::unavailable;
  try {
    http::request<http::string_body> request(http::string_to_verb(method), target, 11);
    request.set(http::field::host, "ferry");
    request.keep_alive(false);
    request.body() = body.dump();
    request.prepare_payload();
    co_await http::async_write(stream, request, asio::use_awaitable);

    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMaxAnswer);
    co_await http::async_read_header(stream, buffer, parser, asio::use_awaitable);
    status = parser.get().result();
    while (!parser.is_done()) {
      stream.expires_after(kAnswerPatience);
      co_await http::async_read_some(stream, buffer, parser, asio::use_awaitable);
      answer = take_lines(parser.get().body(), took_line, std::move(answer));
    }
  } catch (const boost::system::system_error& error) {
    unreachable(lost, socket_path, error.code().message());
  } catch (const json::exception& error) {
    unreachable(lost, socket_path, fmt::format("not the answer of a ferry: {}", error.what()));
  }
  if (status != http::status::ok) {
    const std::string reason = answer.is_object() ? answer.value("error", "") : "";
    throw Failure(ExitStatus::failed, reason.empty() ? fmt::format("refused with HTTP status {}",
                                                                   static_cast<unsigned>(status))
                                                     : reason);
  }
  co_return answer;
}

}  // namespace ferry
