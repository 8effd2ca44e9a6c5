#include "migration/destination/door.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/net/event_loop.hpp"

namespace migration::destination {

namespace asio = boost::asio;

namespace {

/// Connections that may be open at one time without belonging to a VM.
constexpr std::size_t kMaxStrangers = 64;
/// For so long, or the timeout if that is shorter, a connection may take to say what it wants.
constexpr std::chrono::milliseconds kStrangerPatience{10'000};
/// After accepting failed, for want of descriptors say: no event tells when there are some again.
constexpr std::chrono::milliseconds kAcceptPause{200};

}  // namespace

Door::Door(asio::io_context& context, Address address, std::chrono::milliseconds timeout,
           Callbacks callbacks)
    : context_(context),
      address_(std::move(address)),
      timeout_(timeout),
      callbacks_(std::move(callbacks)),
      untold_(context) {
  if (const auto known = net::endpoints_of(address_); !known.empty()) {
    listener_.emplace(context_, address_, known);
  }
}

void Door::open() { net::spawn(context_.get_executor(), listen()); }

asio::awaitable<void> Door::listen() {
  try {
    if (!listener_) {
      const auto found = co_await net::look_up(address_, timeout_);
      listener_.emplace(context_, address_, found);
    }
  } catch (const std::system_error& error) {
    callbacks_.failed(error);
    co_return;
  }
  callbacks_.listening(listener_->address());
  for (net::Acceptor& acceptor : listener_->acceptors()) {
    net::spawn(context_.get_executor(), accept_all(acceptor));
  }
}

asio::awaitable<void> Door::accept_all(net::Acceptor& acceptor) {
  asio::steady_timer pause(context_);
  for (bool told = false;;) {
    boost::system::error_code error;
    net::Socket socket =
        co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::bad_descriptor) co_return;
    std::string why = error ? error.message() : std::string();
    try {
      if (!error) welcome(std::move(socket));
    } catch (const std::exception& failure) {
      why = failure.what();
    }
    if (!why.empty()) {
      const std::string what = "accepting a connection failed: " + why;
      if (!std::exchange(told, true)) callbacks_.message(what);
      callbacks_.stuck(what);
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

/// Where there is no more room the oldest goes: whoever belongs to the VM says so at once.
void Door::welcome(net::Socket socket) {
  if (strangers_.size() >= kMaxStrangers) {
    strangers_.front()->close(std::make_exception_ptr(
        std::runtime_error("too many have not said what they want, and it came first")));
    strangers_.pop_front();
  }
  net::tune(socket, timeout_);
  strangers_.push_back(std::make_shared<net::Connection>(std::move(socket), timeout_));
  net::spawn(context_.get_executor(), serve(strangers_.back()));
}

asio::awaitable<void> Door::serve(ConnectionPtr connection) {
  try {
    const wire::Role role = co_await connection->welcome(std::min(timeout_, kStrangerPatience));
    co_await callbacks_.serve(connection, role);
  } catch (const std::exception& error) {
    tell_of_stranger(fmt::format("dropped a connection: {}", error.what()));
  }
  strangers_.remove(connection);
  connection->close();
}

void Door::tell_of_stranger(const std::string& what) {
  if (messages_.tell(MessageRate::Clock::now())) return callbacks_.message(what);
  if (messages_.untold() > 1) return;
  untold_.expires_at(messages_.end());
  untold_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled) return;
    callbacks_.message(fmt::format("and {} more connections like these", messages_.take_untold()));
  });
}

}  // namespace migration::destination
