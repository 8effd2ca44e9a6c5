#include "vmm/ferry/client_commands.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "migration/report.hpp"
#include "vmm/ferry/api_client.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/migrate_request.hpp"
#include "vmm/ferry/report_view.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::MigrationReport;
using migration::Outcome;
using nlohmann::json;

namespace {

constexpr double kPlainLineEveryMs = 1000;

/// A bar that is drawn over on a terminal; elsewhere a line now and then.
class Progress {
 public:
  void show(const MigrationReport& report) {
    if (terminal_) {
      fmt::print(stderr, "\r\x1b[K{}", progress_bar(report, columns()));
      drawn_ = true;
    } else if (report.phase != phase_ || report.total_ms >= next_ms_) {
      fmt::print(stderr, "{}\n", progress_line(report));
      phase_ = report.phase;
      next_ms_ = report.total_ms + kPlainLineEveryMs;
    }
  }
  void clear() {
    if (std::exchange(drawn_, false)) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  /// At each draw: windows are resized. 0 when the terminal does not know.
  static unsigned columns() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
  }

  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool drawn_ = false;
  std::string phase_;
  double next_ms_ = 0;
};

json request(const std::string& socket, const char* method, const char* target, json body) {
  asio::io_context context{1};
  std::optional<json> answer;
  std::exception_ptr failure;
  asio::co_spawn(context, api_request(socket, method, target, std::move(body)),
                 [&](std::exception_ptr error, json result) {
                   failure = error;
                   answer = std::move(result);
                 });
  context.run();
  if (failure) std::rethrow_exception(failure);
  return std::move(*answer);
}

void print(const json& info, bool as_json) {
  fmt::print("{}", as_json ? info.dump() + '\n' : info_table(info));
}

/// Asks the source to cancel; the migration's own answer then ends the client.
asio::awaitable<void> cancel(const std::string& socket) {
  try {
    co_await api_request(socket, "POST", "/cancel", json::object());
  } catch (const Failure& refused) {
    fmt::print(stderr, "\nferry: {}\n", refused.what());
  }
}

}  // namespace

int migrate(const MigrateCommand& command) {
  asio::io_context context{1};
  Progress progress;
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](boost::system::error_code ended, int) {
    // A second signal ends this client at once; the migration goes on without it.
    signals.clear();
    if (ended) return;
    asio::co_spawn(context, cancel(command.api_socket), asio::detached);
  });
  std::optional<MigrationReport> last;
  json answer;
  std::exception_ptr failure;
  asio::co_spawn(context,
                 api_request(command.api_socket, "POST", "/migrate", to_json(command.options),
                             [&](const json& line) {
                               last = migration::report_from_json(line);
                               if (last->outcome == Outcome::running) progress.show(*last);
                             }),
                 [&](std::exception_ptr error, json result) {
                   failure = error;
                   answer = std::move(result);
                   signals.cancel();
                 });
  context.run();
  progress.clear();
  if (failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const Failure& error) {
      throw Failure(error.status(),
                    fmt::format("{}{}", error.what(),
                                last ? "\nThe migration was under way: 'ferry info' on both sides "
                                       "says who owns the VM"
                                     : ""));
    }
  }
  const bool completed = last->outcome == Outcome::completed;
  if (command.json) {
    fmt::print("{}\n", answer.dump(2));
  } else {
    // What went wrong is told below.
    fmt::print("{}", completed ? report_table(*last) : figures_table(*last));
  }
  if (last->kept_image.error) {
    fmt::print(stderr, "ferry: the image of the VM is not kept: {}\n", *last->kept_image.error);
  }
  if (completed) return static_cast<int>(ExitStatus::ok);
  fmt::print(stderr, "ferry: migration {}: {}; {}\n",
             last->outcome == Outcome::in_doubt ? "in doubt" : migration::to_string(last->outcome),
             last->error.value_or("no reason given"), last->owner);
  return static_cast<int>(ExitStatus::failed);
}

int set(const SetCommand& command) {
  const json info = request(command.api_socket, "PUT", "/migration", to_json(command.settings));
  if (command.json) print(info, true);
  return static_cast<int>(ExitStatus::ok);
}

int control(const ControlCommand& command) {
  using Verb = ControlCommand::Verb;
  const auto ask = [&](const char* method, const char* target, json body = json::object()) {
    return request(command.api_socket, method, target, std::move(body));
  };
  json info;
  switch (command.verb) {
    case Verb::info: info = ask("GET", "/info"); break;
    case Verb::pause: info = ask("POST", "/pause"); break;
    case Verb::resume: info = ask("POST", "/resume", {{"force", command.force}}); break;
    case Verb::stop: info = ask("POST", "/stop"); break;
    case Verb::cancel: info = ask("POST", "/cancel"); break;
  }
  if (command.verb == Verb::info || command.json) print(info, command.json);
  return static_cast<int>(ExitStatus::ok);
}

}  // namespace ferry
