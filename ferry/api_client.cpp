#include "ferry/api_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "ferry/exit_status.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using nlohmann::json;
using Protocol = asio::local::stream_protocol;
using ClientStream = beast::basic_stream<Protocol>;
using AnswerParser = http::response_parser<http::string_body>;

namespace {

/// Between two lines of an answer: an image that is kept on a disk is written meanwhile.
constexpr std::chrono::minutes kLinePatience{10};
/// The report of a migration with a million rounds has some 100 MB.
constexpr std::size_t kMaxLine = std::size_t{256} << 20;

[[noreturn]] void no_answer(const std::string& path, std::string_view why,
                            ExitStatus status = ExitStatus::unavailable) {
  throw Failure(status, fmt::format("no answer on the control socket {}: {}. Is the VM's process "
                                    "alive, and is this its --api-socket?",
                                    path, why));
}

/// Nothing has been asked yet.
[[noreturn]] void cannot_connect(const std::string& path, const error_code& error) {
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
  no_answer(path, no_socket ? "it is no socket" : error.message());
}

/// `lost` is the status when it breaks off.
[[noreturn]] void cannot_read(const std::string& path, const error_code& error, ExitStatus lost) {
  const bool of_http =
      error.category() == http::make_error_code(http::error::bad_version).category();
  if (error == http::error::end_of_stream) {
    no_answer(path, "the connection ended without one", lost);
  }
  if (error == http::error::partial_message) no_answer(path, "the connection ended amid it", lost);
  if (of_http) no_ferry(path, "it does not answer in HTTP: " + error.message());
  no_answer(path, error.message(), lost);
}

/// The lines of an answer that grants what was asked.
class Lines {
 public:
  Lines(const std::string& path, const std::function<void(const json&)>& on_line)
      : path_(path), on_line_(on_line) {}

  /// Takes the whole lines from the front of `text`. Whether there were any.
  bool take(std::string& text) {
    const auto end = text.rfind('\n');
    if (end == std::string::npos) return false;
    const std::string whole = text.substr(0, end);
    text.erase(0, end + 1);
    for (std::size_t begin = 0; begin <= whole.size();) {
      const std::size_t stop = std::min(whole.find('\n', begin), whole.size());
      take_line(std::string_view(whole).substr(begin, stop - begin));
      begin = stop + 1;
    }
    return true;
  }

  void take_line(std::string_view line) {
    last_ = vmm::parse_json(line);
    if (!last_.is_object()) no_ferry(path_, "its answer is no JSON object");
    try {
      if (on_line_) on_line_(last_);
    } catch (const json::exception& error) {
      no_ferry(path_, error.what());
    } catch (const std::invalid_argument& error) {
      no_ferry(path_, error.what());
    }
  }

  json last() {
    if (last_.is_null()) no_ferry(path_, "its answer is empty");
    return std::move(last_);
  }

 private:
  const std::string& path_;
  const std::function<void(const json&)>& on_line_;
  json last_ = nullptr;
};

[[noreturn]] void refused(const std::string& path, http::status status, const std::string& body) {
  const json answer = vmm::parse_json(body);
  const auto number = static_cast<unsigned>(status);
  if (!answer.is_object() || !answer.contains("error") || !answer.at("error").is_string()) {
    no_ferry(path, fmt::format("its answer is HTTP status {} without a ferry's reason", number));
  }
  throw Failure(
      status == http::status::service_unavailable ? ExitStatus::unavailable : ExitStatus::failed,
      vmm::printable(answer.at("error").get<std::string>()));
}

http::request<http::string_body> request_of(const std::string& method, const std::string& target,
                                            const json& body) {
  http::request<http::string_body> request(http::string_to_verb(method), target, 11);
  request.set(http::field::host, "ferry");
  request.keep_alive(false);
  if (!body.empty()) request.body() = vmm::json_text(body);
  request.prepare_payload();
  return request;
}

/// The header of the answer is in `parser` then. One that refuses comes before all was asked.
asio::awaitable<void> ask(ClientStream& stream, beast::flat_buffer& buffer, AnswerParser& parser,
                          const http::request<http::string_body>& request, const std::string& path,
                          ExitStatus lost) {
  error_code error;
  co_await http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, error));
  if (error && error != asio::error::broken_pipe) no_answer(path, error.message(), lost);
  co_await http::async_read_header(stream, buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error) cannot_read(path, error, lost);
}

}  // namespace

void no_ferry(const std::string& socket_path, std::string_view why) {
  throw Failure(ExitStatus::protocol,
                fmt::format("who answers on the control socket {} is no ferry: {}. Is this the "
                            "--api-socket of the VM's process?",
                            socket_path, vmm::printable(why)));
}

asio::awaitable<json> api_request(std::string socket_path, std::string method, std::string target,
                                  json body, std::function<void(const json&)> on_line,
                                  std::chrono::seconds patience) {
  ClientStream stream(co_await asio::this_coro::executor);
  error_code error;
  stream.expires_after(patience);
  co_await stream.async_connect(Protocol::endpoint(socket_path),
                                asio::redirect_error(asio::use_awaitable, error));
  if (error) cannot_connect(socket_path, error);

  // An answer that comes in pieces is one to what is under way by then.
  const ExitStatus lost = on_line ? ExitStatus::failed : ExitStatus::unavailable;
  const auto request = request_of(method, target, body);
  beast::flat_buffer buffer;
  AnswerParser parser;
  parser.body_limit(boost::none);  // a migration may take days
  co_await ask(stream, buffer, parser, request, socket_path, lost);
  const bool granted = parser.get().result() == http::status::ok;
  Lines lines(socket_path, on_line);
  while (!parser.is_done()) {
    co_await http::async_read_some(stream, buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, error));
    if (error) cannot_read(socket_path, error, lost);
    std::string& text = parser.get().body();
    if (granted && lines.take(text)) stream.expires_after(kLinePatience);
    if (text.size() > kMaxLine) no_ferry(socket_path, "its answer has no end");
  }
  const std::string& rest = parser.get().body();
  if (!granted) refused(socket_path, parser.get().result(), rest);
  if (!rest.empty()) lines.take_line(rest);
  co_return lines.last();
}

}  // namespace ferry
