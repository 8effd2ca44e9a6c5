#include "vmm/ferry/control_api.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace ferry {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using nlohmann::json;
using Stream = beast::basic_stream<asio::generic::stream_protocol, asio::any_io_executor>;
using Request = http::request<http::string_body>;

namespace {

constexpr unsigned kMaxSessions = 32;
constexpr std::chrono::seconds kStreamPatience{
    10};  ///< for a request to come in, or an answer to go out
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr unsigned kHttp11 = 11;
constexpr std::uint32_t kMaxHeader = 8 * 1024;
constexpr std::uint64_t kMaxBody = std::uint64_t{64} * 1024;

struct Answer {
  json body;
  http::status status = http::status::ok;
  std::shared_ptr<ReportStream> stream = nullptr;  ///< instead of a body
};

Answer error_answer(http::status status, const std::string& message) {
  return {.body = {{"error", message}}, .status = status};
}

json parse_body(const Request& request) {
  if (request.body().empty()) return json::object();
  json body = json::parse(request.body(), nullptr, false);
  if (!body.is_object()) throw std::invalid_argument("the body is no JSON object");
  return body;
}

Answer dispatch(Controlled& vm, const Request& request) {
  const std::string_view path(request.target().data(), request.target().size());
  const http::verb method = request.method();
  const auto is = [&](http::verb wanted, std::string_view target) {
    return method == wanted && path == target;
  };
  if (is(http::verb::get, "/info")) return {.body = vm.info()};
  const json body = parse_body(request);
  if (is(http::verb::post, "/pause")) {
    vm.pause();
  } else if (is(http::verb::post, "/resume")) {
    vm.resume(body.value("force", false));
  } else if (is(http::verb::post, "/stop")) {
    vm.stop();
  } else if (is(http::verb::post, "/cancel")) {
    vm.cancel();
  } else if (is(http::verb::put, "/migration")) {
    vm.set(body);
  } else if (is(http::verb::post, "/migrate")) {
    return {.body = nullptr, .stream = vm.migrate(body)};
  } else {
    const auto verb = request.method_string();
    return error_answer(
        http::status::not_found,
        fmt::format("there is no {} {} here", std::string_view(verb.data(), verb.size()),
                    path.substr(0, 80)));
  }
  return {.body = vm.info()};
}

Answer answer_to(Controlled& vm, const Request& request) {
  try {
    return dispatch(vm, request);
  } catch (const Conflict& error) {
    return error_answer(http::status::conflict, error.what());
  } catch (const std::invalid_argument& error) {
    return error_answer(http::status::bad_request, error.what());
  } catch (const json::exception& error) {
    return error_answer(http::status::bad_request, error.what());
  } catch (const std::exception& error) {
    return error_answer(http::status::internal_server_error, error.what());
  }
}

}  // namespace

ReportStream::ReportStream(asio::io_context& context)
    : changed_(context, asio::steady_timer::time_point::max()) {}

void ReportStream::progress(std::string line) {
  lines_.clear();
  lines_.push_back(std::move(line));
  changed_.cancel();
}

void ReportStream::end(std::string line) {
  lines_.push_back(std::move(line));
  ended_ = true;
  changed_.cancel();
}

asio::awaitable<std::string> ReportStream::next() {
  while (lines_.empty() && !ended_) {
    boost::system::error_code ignored;
    co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (lines_.empty()) co_return std::string();
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  co_return line;
}

/// What sessions, which end when their clients like, share with the API that they may outlive.
struct ControlApi::Tally {
  explicit Tally(asio::io_context& context)
      : answered(context, asio::steady_timer::time_point::max()) {}
  unsigned sessions = 0;
  unsigned answering = 0;  ///< requests that have come in and are not yet answered
  asio::steady_timer answered;
};

/// One connection, with as many requests as the client likes to make on it.
class ControlApi::Session {
 public:
  Session(Controlled& controlled, std::shared_ptr<Tally> tally, Stream stream)
      : controlled_(controlled), tally_(std::move(tally)), stream_(std::move(stream)) {
    ++tally_->sessions;
  }
  ~Session() { --tally_->sessions; }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  asio::awaitable<void> run() {
    beast::flat_buffer buffer;
    for (bool more = true; more;) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(kMaxHeader);
      parser.body_limit(kMaxBody);
      stream_.expires_after(kStreamPatience);
      beast::error_code error;
      co_await http::async_read(stream_, buffer, parser,
                                asio::redirect_error(asio::use_awaitable, error));
      if (error && error.category() != http::make_error_code(http::error::bad_method).category()) {
        co_return;
      }
      if (error == http::error::end_of_stream) co_return;
      // Until it is answered the process does not end.
      const Answering answering(*tally_);
      if (error) {
        co_await send(error_answer(http::status::bad_request, "not a request: " + error.message()),
                      kHttp11, false);
        co_return;
      }
      const Request request = parser.release();
      const Answer answer = answer_to(controlled_, request);
      more = request.keep_alive() && !answer.stream;
      if (answer.stream) {
        co_await send_reports(*answer.stream, request.version());
      } else {
        co_await send(answer, request.version(), more);
      }
    }
  }

 private:
  struct Answering {
    explicit Answering(Tally& of) : tally(of) { ++tally.answering; }
    ~Answering() {
      if (--tally.answering == 0) tally.answered.cancel();
    }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;
    Tally& tally;
  };

  asio::awaitable<void> send(const Answer& answer, unsigned version, bool keep_alive) {
    http::response<http::string_body> response(answer.status, version);
    response.set(http::field::content_type, "application/json");
    response.keep_alive(keep_alive);
    response.body() = answer.body.dump() + '\n';
    response.prepare_payload();
    stream_.expires_after(kStreamPatience);
    co_await http::async_write(stream_, response, asio::use_awaitable);
  }

  /// A JSON object a line, each in a chunk of its own, as it happens.
  asio::awaitable<void> send_reports(ReportStream& reports, unsigned version) {
    http::response<http::empty_body> response(http::status::ok, version);
    response.set(http::field::content_type, "application/x-ndjson");
    response.chunked(true);
    http::response_serializer<http::empty_body> header(response);
    stream_.expires_after(kStreamPatience);
    co_await http::async_write_header(stream_, header, asio::use_awaitable);
    for (;;) {
      const std::string line = co_await reports.next();
      if (line.empty()) break;
      stream_.expires_after(kStreamPatience);
      co_await asio::async_write(stream_, http::make_chunk(asio::buffer(line)),
                                 asio::use_awaitable);
    }
    co_await asio::async_write(stream_, http::make_chunk_last(), asio::use_awaitable);
  }

  Controlled& controlled_;
  const std::shared_ptr<Tally> tally_;
  Stream stream_;
};

ControlApi::ControlApi(asio::io_context& context, const std::string& path, Controlled& controlled)
    : context_(context),
      controlled_(controlled),
      listener_(context, migration::parse_address("unix:" + path)),
      tally_(std::make_shared<Tally>(context)) {
  asio::co_spawn(context_, accept_all(), asio::detached);
}

ControlApi::~ControlApi() = default;

asio::awaitable<void> ControlApi::accept_all() {
  migration::net::Acceptor& acceptor = listener_.acceptors().front();
  for (;;) {
    boost::system::error_code error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (error) {
      // Out of descriptors, most likely: no event tells when there are some again.
      asio::steady_timer pause(context_, kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (tally_->sessions >= kMaxSessions) continue;
    asio::co_spawn(
        context_,
        [](std::unique_ptr<Session> session) -> asio::awaitable<void> {
          try {
            co_await session->run();
          } catch (const boost::system::system_error&) {
            // The client has gone.
          }
        }(std::make_unique<Session>(controlled_, tally_, Stream(std::move(socket)))),
        asio::detached);
  }
}

asio::awaitable<void> ControlApi::finish(std::chrono::milliseconds limit) {
  listener_.close();
  boost::system::error_code ignored;
  if (tally_->answering == 0) co_return;
  tally_->answered.expires_after(limit);
  co_await tally_->answered.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace ferry
