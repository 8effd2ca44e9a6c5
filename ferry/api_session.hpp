#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>

#include "ferry/api_routes.hpp"
#include "ferry/controlled.hpp"

namespace ferry {

class ApiSession;

/// The open connections of a control API, which they may outlive.
class ApiSessions {
 public:
  explicit ApiSessions(boost::asio::io_context& context);

  /// Whether there is room for one more. Where there would be none the one of which nothing has
  /// been heard for longest is closed, unless all of them are owed something.
  [[nodiscard]] bool make_room();
  /// False when there is none that could be closed.
  bool close_the_longest_idle();

  /// Waits until what was asked has been answered, within `limit`.
  boost::asio::awaitable<void> answered(std::chrono::milliseconds limit);

 private:
  friend class ApiSession;
  std::list<ApiSession*> open_;  ///< heard of longest ago first
  unsigned answering_ = 0;       ///< requests that have come in and are not yet answered
  boost::asio::steady_timer all_answered_;
};

/// One connection, with as many requests as the client likes to make on it.
class ApiSession {
 public:
  using Stream = boost::beast::basic_stream<boost::asio::generic::stream_protocol,
                                            boost::asio::any_io_executor>;

  ApiSession(Controlled& controlled, std::shared_ptr<ApiSessions> sessions, Stream stream);
  ~ApiSession();
  ApiSession(const ApiSession&) = delete;
  ApiSession& operator=(const ApiSession&) = delete;

  /// boost::system::system_error when the client goes.
  boost::asio::awaitable<void> run();
  /// Says that there is no room, and no more.
  boost::asio::awaitable<void> refuse();

 private:
  friend class ApiSessions;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  class Answering;

  void heard();
  boost::asio::awaitable<bool> serve_one();
  boost::asio::awaitable<boost::system::error_code> read(Parser& parser);
  boost::asio::awaitable<bool> answer(const ApiRequest& request);
  /// When the client goes. One that has said all that it will say still waits for its answer.
  boost::asio::awaitable<void> client_gone();
  /// False where the client goes first.
  boost::asio::awaitable<bool> settled_for_client();
  /// Nothing where the client goes first.
  boost::asio::awaitable<std::optional<ApiAnswer>> found_out_for_client(ApiAnswer answer);
  boost::asio::awaitable<void> send(const ApiAnswer& answer, unsigned version, bool keep_alive,
                                    bool head);
  boost::asio::awaitable<void> send_reports(ReportStream& reports, unsigned version);
  boost::asio::awaitable<void> drain();

  Controlled& controlled_;
  const std::shared_ptr<ApiSessions> sessions_;
  Stream stream_;
  boost::beast::flat_buffer buffer_;
  std::list<ApiSession*>::iterator place_;  ///< in ApiSessions::open_, or its end
  bool owed_ = false;  ///< the client waits for an answer, or for the reports of a migration
};

}  // namespace ferry
