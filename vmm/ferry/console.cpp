#include "vmm/ferry/console.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

namespace ferry {

namespace asio = boost::asio;

SerialChoice parse_serial(std::string_view text) {
  constexpr std::string_view kFile = "file:";
  if (text == "stdio") return {SerialChoice::Kind::stdio, {}};
  if (text == "null") return {SerialChoice::Kind::null, {}};
  if (text.starts_with(kFile) && text.size() > kFile.size()) {
    return {SerialChoice::Kind::file, std::string(text.substr(kFile.size()))};
  }
  throw std::invalid_argument(
      fmt::format("'{}' is no serial port: it is stdio, null or file:PATH", text));
}

Console::Console(asio::io_context& context, const SerialChoice& choice, std::function<void()> quit)
    : context_(context),
      quit_(std::move(quit)),
      flushed_(context, asio::steady_timer::time_point::max()) {
  switch (choice.kind) {
    case SerialChoice::Kind::null: break;
    case SerialChoice::Kind::file: output_.emplace(context, choice.path); break;
    case SerialChoice::Kind::stdio:
      output_.emplace(context, STDOUT_FILENO, HostStream::Direction::out);
      input_.emplace(context, STDIN_FILENO, HostStream::Direction::in);
      raw_.emplace(STDIN_FILENO);
      break;
  }
}

void Console::observe(devices::Serial& serial) {
  serial.on_output([this] { asio::post(context_, [this] { pump_output(); }); });
  serial.on_input_room([this] { asio::post(context_, [this] { pump_input(); }); });
}

void Console::connect(std::shared_ptr<devices::Serial> serial) {
  serial_ = std::move(serial);
  pump_output();
  pump_input();
}

void Console::disconnect() {
  serial_.reset();
  if (input_) input_->cancel();
}

void Console::pump_output() {
  if (!serial_ || output_waits_) return;
  serial_->drain([this](std::span<const std::byte> bytes) { return write(bytes); });
  if (!output_waits_) flushed_.cancel();
}

std::size_t Console::write(std::span<const std::byte> bytes) {
  if (!output_) return bytes.size();
  const HostStream::Result result = output_->write(bytes);
  if (result.state == HostStream::State::ended) {
    output_ended();
    return bytes.size();
  }
  if (result.bytes < bytes.size()) {
    output_waits_ = true;
    output_->wait([this] {
      output_waits_ = false;
      pump_output();
    });
  }
  return result.bytes;
}

/// The guest goes on; what it prints from now on is dropped.
void Console::output_ended() {
  if (!output_->error().empty()) {
    fmt::print(stderr, "ferry: the guest's output cannot be written any more and is dropped: {}\n",
               output_->error());
  }
  output_.reset();
}

void Console::pump_input() {
  if (!serial_ || !input_ || input_waits_) return;
  while (serial_->fill([this](std::span<std::byte> room) { return read(room); })) {
    if (!input_ || input_waits_) return;
  }
}

std::size_t Console::read(std::span<std::byte> room) {
  const HostStream::Result result = input_->read(room);
  switch (result.state) {
    case HostStream::State::ended: input_.reset(); return 0;
    case HostStream::State::would_block:
      input_waits_ = true;
      input_->wait([this] {
        input_waits_ = false;
        pump_input();
      });
      return 0;
    case HostStream::State::ready: break;
  }
  if (!raw_->active()) return result.bytes;
  const auto [count, quit] = escape_.filter(room.first(result.bytes));
  if (quit) quit_();
  return count;
}

asio::awaitable<std::size_t> Console::flush(std::chrono::milliseconds limit) {
  if (!serial_) co_return 0;
  input_.reset();
  pump_output();
  if (output_waits_) {
    flushed_.expires_after(limit);
    boost::system::error_code ignored;
    co_await flushed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  std::size_t left = 0;
  serial_->drain([&left](std::span<const std::byte> bytes) {
    left += bytes.size();
    return bytes.size();
  });
  co_return left;
}

}  // namespace ferry
