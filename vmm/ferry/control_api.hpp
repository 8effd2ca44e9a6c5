#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

#include "migration/net/listener.hpp"

namespace ferry {

/// The request makes sense and cannot be granted now: HTTP 409. The message says why.
class Conflict : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The reports of one migration, on their way to the client that began it. Main thread only.
class ReportStream {
 public:
  explicit ReportStream(boost::asio::io_context& context);
  /// A report that goes on waiting behind a slow client is replaced by a newer one.
  void progress(std::string line);
  /// The last one.
  void end(std::string line);

  /// The next line; empty after the last.
  boost::asio::awaitable<std::string> next();

 private:
  std::deque<std::string> lines_;
  bool ended_ = false;
  boost::asio::steady_timer changed_;
};

/// What the control API can ask of a process that has a VM. Each function throws Conflict, or
/// std::invalid_argument for a request that makes no sense.
class Controlled {
 public:
  virtual ~Controlled() = default;
  [[nodiscard]] virtual nlohmann::json info() const = 0;
  virtual void pause() = 0;
  virtual void resume(bool force) = 0;
  virtual void stop() = 0;
  virtual void cancel() = 0;
  virtual std::shared_ptr<ReportStream> migrate(const nlohmann::json& options) = 0;
  virtual void set(const nlohmann::json& settings) = 0;
};

/// HTTP and JSON on a Unix socket that only its owner may use (docs/control-api.md).
class ControlApi {
 public:
  /// Listens at once; std::system_error that names the path and what is wrong with it.
  ControlApi(boost::asio::io_context& context, const std::string& path, Controlled& controlled);
  ~ControlApi();
  ControlApi(const ControlApi&) = delete;
  ControlApi& operator=(const ControlApi&) = delete;

  /// Takes no new connection, and waits until what was asked has been answered, within `limit`.
  boost::asio::awaitable<void> finish(std::chrono::milliseconds limit);

 private:
  class Session;
  struct Tally;
  boost::asio::awaitable<void> accept_all();

  boost::asio::io_context& context_;
  Controlled& controlled_;
  migration::net::Listener listener_;
  std::shared_ptr<Tally> tally_;
};

}  // namespace ferry
