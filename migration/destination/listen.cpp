#include <fmt/format.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/destination/receiver.hpp"
#include "migration/net/event_loop.hpp"

/// The destination's door: where it listens, and who is let in before it is known what he wants.
namespace migration {

namespace asio = boost::asio;
using net::Connection;

namespace {

/// Connections that may be open at one time without belonging to a VM.
constexpr std::size_t kMaxStrangers = 64;
/// After accepting failed, for want of descriptors say: no event tells when there are some again.
constexpr std::chrono::milliseconds kAcceptPause{200};

}  // namespace

asio::awaitable<void> IncomingMigration::Receiver::open() {
  try {
    if (!listener_) {
      const auto found = co_await net::look_up(options_.listen, options_.timeout);
      listener_.emplace(context_, options_.listen, found);
      show("waits for a VM");
    }
  } catch (const std::system_error& error) {
    const int code = error.code().value();
    show(error.what());
    callbacks_.failed({error.what(), false, code == EACCES || code == EPERM});
    co_return;
  }
  {
    const std::lock_guard lock(mutex_);
    address_ = listener_->address();
  }
  callbacks_.listening(listener_->address());
  for (net::Acceptor& acceptor : listener_->acceptors()) {
    net::spawn(context_.get_executor(), accept_all(acceptor));
  }
}

asio::awaitable<void> IncomingMigration::Receiver::accept_all(net::Acceptor& acceptor) {
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
      // The source would wait for its connections without end: its signs of life go on.
      if (awaits_connections()) link_lost({what});
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

/// Where there is no more room the oldest goes: whoever belongs to the VM says so at once.
void IncomingMigration::Receiver::welcome(net::Socket socket) {
  if (strangers_.size() >= kMaxStrangers) {
    strangers_.front()->close(std::make_exception_ptr(
        std::runtime_error("too many have not said what they want, and it came first")));
    strangers_.pop_front();
  }
  net::tune(socket, options_.timeout);
  strangers_.push_back(std::make_shared<Connection>(std::move(socket), options_.timeout));
  net::spawn(context_.get_executor(), serve(strangers_.back()));
}

void IncomingMigration::Receiver::tell_of_stranger(const std::string& what) {
  if (stranger_messages_.tell(MessageRate::Clock::now())) return callbacks_.message(what);
  if (stranger_messages_.untold() > 1) return;
  strangers_told_.expires_at(stranger_messages_.end());
  strangers_told_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled) return;
    callbacks_.message(
        fmt::format("and {} more connections like these", stranger_messages_.take_untold()));
  });
}

}  // namespace migration
