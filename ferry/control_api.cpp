#include "ferry/control_api.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "migration/net/event_loop.hpp"

namespace ferry {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

/// Whatever becomes of one connection, the process goes on.
asio::awaitable<void> serve_to_its_end(std::unique_ptr<ApiSession> session, bool room) {
  try {
    if (room) {
      co_await session->run();
    } else {
      co_await session->refuse();
    }
  } catch (const std::exception&) {
    // The client has gone, most likely, or there is no memory for its answer.
  }
}

}  // namespace

ControlApi::ControlApi(asio::io_context& context, const std::string& path, Controlled& controlled)
    : context_(context),
      controlled_(controlled),
      listener_(context, migration::parse_address("unix:" + path)),
      sessions_(std::make_shared<ApiSessions>(context)) {
  migration::net::spawn(context_.get_executor(), accept_all());
}

ControlApi::~ControlApi() = default;

asio::awaitable<void> ControlApi::accept_all() {
  migration::net::Acceptor& acceptor = listener_.acceptors().front();
  for (;;) {
    boost::system::error_code error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    try {
      if (!error) {
        serve(std::move(socket));
        continue;
      }
    } catch (const std::exception&) {
      // No memory for one more.
    }
    // Out of descriptors, most likely: one that idles gives its own, or no event tells when there
    // are some again.
    sessions_->close_the_longest_idle();
    asio::steady_timer pause(context_, kAcceptPause);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

void ControlApi::serve(migration::net::Socket socket) {
  const bool room = sessions_->make_room();
  auto session =
      std::make_unique<ApiSession>(controlled_, sessions_, ApiSession::Stream(std::move(socket)));
  migration::net::spawn(context_.get_executor(), serve_to_its_end(std::move(session), room));
}

asio::awaitable<void> ControlApi::finish(std::chrono::milliseconds limit) {
  listener_.close();
  co_await sessions_->answered(limit);
}

}  // namespace ferry
