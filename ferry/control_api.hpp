#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "ferry/api_session.hpp"
#include "ferry/controlled.hpp"
#include "migration/net/listener.hpp"

namespace ferry {

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
  boost::asio::awaitable<void> accept_all();
  void serve(migration::net::Socket socket);

  boost::asio::io_context& context_;
  Controlled& controlled_;
  migration::net::Listener listener_;
  std::shared_ptr<ApiSessions> sessions_;
};

}  // namespace ferry
