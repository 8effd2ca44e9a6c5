#include "ferry/api_session.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "vmm/text/json_text.hpp"

namespace ferry {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

using asio::experimental::awaitable_operators::operator||;

namespace {

constexpr std::size_t kMaxSessions = 32;
/// For a request to come in, or an answer to go out.
constexpr std::chrono::seconds kStreamPatience{10};
constexpr std::chrono::seconds kDrainPatience{2};
constexpr std::size_t kMaxDrained = std::size_t{8} << 20;
constexpr unsigned kHttp11 = 11;
constexpr std::uint32_t kMaxHeader = 8 * 1024;
constexpr std::uint64_t kMaxBody = std::uint64_t{64} * 1024;

/// Whether what came was heard well, and makes no request.
bool is_no_request(const error_code& error) {
  return error.category() == http::make_error_code(http::error::bad_method).category();
}

ApiAnswer rejection(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return error_answer(http::status::request_header_fields_too_large,
                        "the request's header is longer than 8 KiB");
  }
  if (error == http::error::body_limit) {
    return error_answer(http::status::payload_too_large, "the body is longer than 64 KiB");
  }
  if (error == http::error::bad_version) {
    return error_answer(http::status::http_version_not_supported, "HTTP/1.1 and 1.0 are spoken");
  }
  return error_answer(http::status::bad_request, "not a request: " + error.message());
}

}  // namespace

ApiSessions::ApiSessions(asio::io_context& context)
    : all_answered_(context, asio::steady_timer::time_point::max()) {}

bool ApiSessions::make_room() { return open_.size() < kMaxSessions || close_the_longest_idle(); }

bool ApiSessions::close_the_longest_idle() {
  const auto idle = std::ranges::find(open_, false, &ApiSession::owed_);
  if (idle == open_.end()) return false;
  ApiSession& session = **idle;
  open_.erase(std::exchange(session.place_, open_.end()));
  session.stream_.close();  // whatever it waits for ends with an error
  return true;
}

asio::awaitable<void> ApiSessions::answered(std::chrono::milliseconds limit) {
  if (answering_ == 0) co_return;
  error_code ignored;
  all_answered_.expires_after(limit);
  co_await all_answered_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

/// Until it goes the process does not end.
class ApiSession::Answering {
 public:
  explicit Answering(ApiSessions& of) : sessions_(of) { ++sessions_.answering_; }
  ~Answering() {
    if (--sessions_.answering_ == 0) sessions_.all_answered_.cancel();
  }
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

 private:
  ApiSessions& sessions_;
};

ApiSession::ApiSession(Controlled& controlled, std::shared_ptr<ApiSessions> sessions, Stream stream)
    : controlled_(controlled),
      sessions_(std::move(sessions)),
      stream_(std::move(stream)),
      place_(sessions_->open_.insert(sessions_->open_.end(), this)) {}

ApiSession::~ApiSession() {
  if (place_ != sessions_->open_.end()) sessions_->open_.erase(place_);
}

asio::awaitable<void> ApiSession::run() {
  for (bool more = true; more;) more = co_await serve_one();
}

asio::awaitable<void> ApiSession::refuse() {
  const ApiAnswer full = error_answer(http::status::service_unavailable,
                                      "too many connections to this control socket: try again");
  co_await send(full, kHttp11, false, false);
  co_await drain();
}

void ApiSession::heard() {
  auto& open = sessions_->open_;
  if (place_ != open.end()) open.splice(open.end(), open, place_);
}

asio::awaitable<bool> ApiSession::serve_one() {
  Parser parser;
  const error_code error = co_await read(parser);
  heard();
  if (error == http::error::end_of_stream || (error && !is_no_request(error))) co_return false;
  if (!error) {
    const ApiRequest request = parser.release();
    co_return co_await answer(request);
  }
  {
    const Answering answering(*sessions_);
    co_await send(rejection(error), kHttp11, false, false);
  }
  co_await drain();
  co_return false;
}

asio::awaitable<error_code> ApiSession::read(Parser& parser) {
  parser.header_limit(kMaxHeader);
  parser.body_limit(kMaxBody);
  error_code error;
  stream_.expires_after(kStreamPatience);
  co_await http::async_read_header(stream_, buffer_, parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error || parser.is_done()) co_return error;
  if (beast::iequals(parser.get()[http::field::expect], "100-continue") &&
      parser.get().version() == kHttp11) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(stream_, asio::buffer(kContinue),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return error;
  }
  stream_.expires_after(kStreamPatience);
  co_await http::async_read(stream_, buffer_, parser,
                            asio::redirect_error(asio::use_awaitable, error));
  co_return error;
}

/// Whether another request may follow.
asio::awaitable<bool> ApiSession::answer(const ApiRequest& request) {
  const Answering answering(*sessions_);
  owed_ = true;
  if (asks_to_migrate(request)) {
    const bool waited = co_await settled_for_client();
    if (!waited) co_return false;
  }
  auto found = co_await found_out_for_client(answer_to(controlled_, request));
  if (!found) co_return false;
  const ApiAnswer answer = *std::move(found);
  if (answer.stream) {
    co_await send_reports(*answer.stream, request.version());
    co_return false;
  }
  owed_ = false;
  const bool more = request.keep_alive();
  co_await send(answer, request.version(), more, request.method() == http::verb::head);
  co_return more;
}

asio::awaitable<void> ApiSession::client_gone() {
  error_code ignored;
  co_await stream_.socket().async_wait(asio::socket_base::wait_error,
                                       asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<bool> ApiSession::settled_for_client() {
  const auto first = co_await (controlled_.settled() || client_gone());
  co_return first.index() == 0;
}

asio::awaitable<std::optional<ApiAnswer>> ApiSession::found_out_for_client(ApiAnswer answer) {
  if (!answer.later) co_return answer;
  auto first = co_await (found_out(std::move(answer)) || client_gone());
  if (first.index() != 0) co_return std::nullopt;
  co_return std::get<0>(std::move(first));
}

asio::awaitable<void> ApiSession::send(const ApiAnswer& answer, unsigned version, bool keep_alive,
                                       bool head) {
  http::response<http::string_body> response(answer.status, version);
  response.set(http::field::content_type, "application/json");
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  response.keep_alive(keep_alive);
  response.body() = vmm::json_text(answer.body) + '\n';
  response.prepare_payload();
  http::response_serializer<http::string_body> serializer(response);
  stream_.expires_after(kStreamPatience);
  if (head) {
    co_await http::async_write_header(stream_, serializer, asio::use_awaitable);
  } else {
    co_await http::async_write(stream_, serializer, asio::use_awaitable);
  }
}

/// A JSON object a line, as it happens: each in a chunk of its own, but for HTTP/1.0, which knows
/// none. The connection ends behind the last.
asio::awaitable<void> ApiSession::send_reports(ReportStream& reports, unsigned version) {
  const bool chunked = version == kHttp11;
  http::response<http::empty_body> response(http::status::ok, version);
  response.set(http::field::content_type, "application/x-ndjson");
  response.chunked(chunked);
  response.keep_alive(false);
  http::response_serializer<http::empty_body> header(response);
  stream_.expires_after(kStreamPatience);
  co_await http::async_write_header(stream_, header, asio::use_awaitable);
  for (;;) {
    const std::string line = co_await reports.next();
    if (line.empty()) break;
    stream_.expires_after(kStreamPatience);
    if (chunked) {
      co_await asio::async_write(stream_, http::make_chunk(asio::buffer(line)),
                                 asio::use_awaitable);
    } else {
      co_await asio::async_write(stream_, asio::buffer(line), asio::use_awaitable);
    }
  }
  if (chunked) co_await asio::async_write(stream_, http::make_chunk_last(), asio::use_awaitable);
}

/// A client that is still sending reads the answer only if what it sends is taken.
asio::awaitable<void> ApiSession::drain() {
  error_code error;
  stream_.socket().shutdown(asio::socket_base::shutdown_send, error);
  stream_.expires_after(kDrainPatience);
  std::array<std::byte, 4096> scratch{};
  for (std::size_t drained = 0; !error && drained < kMaxDrained;) {
    drained += co_await stream_.async_read_some(asio::buffer(scratch),
                                                asio::redirect_error(asio::use_awaitable, error));
  }
}

}  // namespace ferry
