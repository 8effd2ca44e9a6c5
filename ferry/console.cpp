#include "ferry/console.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "ferry/say.hpp"

namespace ferry {

namespace asio = boost::asio;

namespace {

/// No event tells when a full disk has room again.
constexpr std::chrono::seconds kTryAgain{1};

bool same_terminal(int one, int other) {
  struct stat first {};
  struct stat second {};
  return ::isatty(one) == 1 && ::isatty(other) == 1 && ::fstat(one, &first) == 0 &&
         ::fstat(other, &second) == 0 && first.st_rdev == second.st_rdev;
}

}  // namespace

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
      path_(choice.path),
      flushed_(context, asio::steady_timer::time_point::max()),
      terminal_(choice.kind == SerialChoice::Kind::stdio ? STDIN_FILENO : -1),
      again_(context) {
  switch (choice.kind) {
    case SerialChoice::Kind::null: break;
    case SerialChoice::Kind::file: output_ = std::make_unique<HostStream>(context, path_); break;
    case SerialChoice::Kind::stdio:
      output_ = std::make_unique<HostStream>(context, STDOUT_FILENO, HostStream::Direction::out);
      shares_terminal_ = same_terminal(STDOUT_FILENO, STDERR_FILENO);
      input_.emplace(context, STDIN_FILENO, HostStream::Direction::in);
      if (terminal_.present() && terminal_.in_foreground()) {
        say("Ctrl-A X ends this process and its VM; Ctrl-A H tells of more keys");
      }
      take_terminal();
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
  take_terminal();
}

void Console::disconnect(bool listen) {
  serial_.reset();
  gone_ = true;
  if (!held_.empty()) {
    say(fmt::format("dropped {} bytes that were typed: the guest took no more before it left",
                    std::exchange(held_, {}).size()));
  }
  if (listen) return take_terminal();
  input_.reset();
}

bool Console::reopen_file() {
  if (path_.empty()) return false;
  try {
    output_ = std::make_unique<HostStream>(context_, path_);
    output_waits_ = false;
    try_again_ = {};
    pump_output();
  } catch (const std::exception& error) {
    say(fmt::format("the guest's output goes on into the file that was open before: {}",
                    error.what()));
  }
  return true;
}

void Console::pump_output() {
  if (!serial_ || output_waits_) return;
  serial_->drain([this](std::span<const std::byte> bytes) { return write(bytes); });
  if (!output_waits_) flushed_.cancel();
}

std::size_t Console::write(std::span<const std::byte> bytes) {
  if (!output_) return bytes.size();
  if (std::chrono::steady_clock::now() < try_again_) return drop(bytes);
  const HostStream::Result result = output_->write(bytes);
  // Another reader may open a file that is a pipe.
  if (result.state == HostStream::State::ended && path_.empty()) {
    output_.reset();  // the guest goes on; what it prints from now on nobody reads
    return bytes.size();
  }
  if (result.state == HostStream::State::failed || result.state == HostStream::State::ended) {
    output_failed();
    return drop(bytes);
  }
  if (result.bytes > 0 && dropped_ > 0) {
    say(fmt::format("the guest's output can be written again; {} bytes of it were dropped",
                    std::exchange(dropped_, 0)));
  }
  if (result.bytes > 0 && shares_terminal_) {
    messages().others_line_is_open(bytes[result.bytes - 1] != std::byte{'\n'});
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

std::size_t Console::drop(std::span<const std::byte> bytes) {
  dropped_ += bytes.size();
  return bytes.size();
}

/// The guest goes on, and does not wait for a disk.
void Console::output_failed() {
  try_again_ = std::chrono::steady_clock::now() + kTryAgain;
  if (dropped_ > 0) return;  // told already
  say(fmt::format("the guest's output cannot be written and is dropped until it can: {}",
                  output_->error()));
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
