#include "ferry/client_commands.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "ferry/api_client.hpp"
#include "ferry/client_output.hpp"
#include "ferry/exit_status.hpp"
#include "ferry/forecast_view.hpp"
#include "ferry/migrate_request.hpp"
#include "ferry/report_view.hpp"
#include "ferry/say.hpp"
#include "ferry/signals.hpp"
#include "migration/base/report.hpp"
#include "migration/net/event_loop.hpp"
#include "vmm/text/json_text.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::MigrationReport;
using migration::Outcome;
using nlohmann::json;

namespace {

constexpr double kPlainLineEveryMs = 1000;
/// The model of a migration of an hour over a slow link thinks for half a minute and more.
constexpr std::chrono::minutes kForecastPatience{5};

/// A bar that is drawn over on a terminal; elsewhere a line now and then.
class Progress {
 public:
  void show(const MigrationReport& report) {
    if (terminal_) {
      show_progress(fmt::format("\r\x1b[K{}", progress_bar(report, columns())));
      drawn_ = true;
    } else if (report.phase != phase_ || report.total_ms >= next_ms_) {
      show_progress(fmt::format("{}\n", progress_line(report)));
      phase_ = report.phase;
      next_ms_ = report.total_ms + kPlainLineEveryMs;
    }
  }
  void clear() {
    if (std::exchange(drawn_, false)) show_progress("\r\x1b[K");
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

/// The first signal asks for something; a later one ends this client at once, by what it does by
/// default.
class Interrupts {
 public:
  Interrupts(asio::io_context& context, std::function<void()> ask)
      : signals_(context), ask_(std::move(ask)) {
    add_unless_ignored(signals_, {SIGINT, SIGTERM});
    wait();
  }
  /// From now on signals do what they do by default.
  void stop() {
    signals_.cancel();
    signals_.clear();
  }

 private:
  void wait() {
    signals_.async_wait([this](boost::system::error_code stopped, int number) {
      if (stopped) return;
      const auto now = std::chrono::steady_clock::now();
      if (!asked_at_) {
        asked_at_ = now;
        ask_();
      } else if (now >= *asked_at_ + kSameWish) {
        signals_.clear();
        ::raise(number);
      }
      wait();
    });
  }

  asio::signal_set signals_;
  std::function<void()> ask_;
  std::optional<std::chrono::steady_clock::time_point> asked_at_;
};

/// `value` with texts that do no harm on a terminal.
void make_printable(json& value) {
  if (value.is_string()) value = vmm::printable(value.get<std::string>());
  if (!value.is_structured()) return;
  for (json& part : value) make_printable(part);
}

/// What a request answers, but for the one that migrates.
json request(const std::string& socket, const char* method, const char* target, json body,
             std::chrono::seconds patience = kAnswerPatience) {
  asio::io_context context{1};
  std::optional<json> answer;
  std::exception_ptr failure;
  asio::co_spawn(context, api_request(socket, method, target, std::move(body), nullptr, patience),
                 [&](std::exception_ptr error, json result) {
                   failure = error;
                   answer = std::move(result);
                 });
  context.run();
  if (failure) std::rethrow_exception(failure);
  return std::move(*answer);
}

/// The table of an answer to one, as which every ferry's can be shown.
std::string table_of(json info, const std::string& socket) {
  try {
    make_printable(info);
    return info_table(info);
  } catch (const json::exception& error) {
    no_ferry(socket, error.what());
  } catch (const std::invalid_argument& error) {
    no_ferry(socket, error.what());
  }
}

/// Asks the source to cancel; the migration's own answer then ends the client.
asio::awaitable<void> cancel(const std::string& socket, Progress& progress) {
  try {
    co_await api_request(socket, "POST", "/cancel", json::object());
  } catch (const Failure& refused) {
    progress.clear();
    say(refused.what());
  }
}

/// Failure, unless the answer to `POST /migrate` came to its end.
void check_answered(const std::exception_ptr& failure, const std::optional<MigrationReport>& last) {
  constexpr std::string_view kUnderWay =
      "\nThe migration was under way: 'ferry info' on both sides says who owns the VM";
  if (last && last->outcome != Outcome::running) return;
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const Failure& error) {
    if (!last) throw;
    throw Failure(ExitStatus::failed, fmt::format("{}{}", error.what(), kUnderWay));
  }
  if (last->outcome == Outcome::running) {
    throw Failure(ExitStatus::failed,
                  fmt::format("the VM's process told no more amid the migration{}", kUnderWay));
  }
}

std::string outcome_of(const MigrationReport& report) {
  const std::string_view outcome =
      report.outcome == Outcome::in_doubt ? "in doubt" : migration::to_string(report.outcome);
  if (report.outcome == Outcome::completed) {
    return fmt::format("migration {}: {}", outcome, report.owner);
  }
  return fmt::format("migration {}: {}; {}", outcome, report.error.value_or("no reason given"),
                     report.owner);
}

}  // namespace

int migrate(const MigrateCommand& command) {
  asio::io_context context{1};
  Progress progress;
  Interrupts interrupts(context, [&] {
    migration::net::spawn(context.get_executor(), cancel(command.api_socket, progress));
  });
  std::optional<MigrationReport> last;
  json answer;
  std::exception_ptr failure;
  asio::co_spawn(context,
                 api_request(command.api_socket, "POST", "/migrate", to_json(command.options),
                             [&](json line) {
                               answer = line;
                               make_printable(line);
                               last = migration::report_from_json(line);
                               if (last->outcome == Outcome::running) progress.show(*last);
                             }),
                 [&](std::exception_ptr error, const json&) {
                   failure = error;
                   interrupts.stop();
                 });
  context.run();
  progress.clear();
  check_answered(failure, last);
  const bool completed = last->outcome == Outcome::completed;
  // What went wrong is told below.
  const std::string table = completed ? report_table(*last) : figures_table(*last);
  try {
    print_out(command.json ? vmm::json_text(answer, 2) + '\n' : table);
  } catch (const std::system_error& error) {
    throw Failure(ExitStatus::os_error, fmt::format("{}\n{}", error.what(), outcome_of(*last)));
  }
  if (last->kept_image.error) {
    say(fmt::format("the image of the VM is not kept: {}", *last->kept_image.error));
  }
  if (completed) return static_cast<int>(ExitStatus::ok);
  say(outcome_of(*last));
  return static_cast<int>(ExitStatus::failed);
}

int predict(const PredictCommand& command) {
  json forecast =
      request(command.api_socket, "GET", "/forecast", to_json(command.request), kForecastPatience);
  if (command.json) {
    print_out(vmm::json_text(forecast, 2) + '\n');
    return static_cast<int>(ExitStatus::ok);
  }
  try {
    make_printable(forecast);
    print_out(forecast_table(forecast));
  } catch (const json::exception& error) {
    no_ferry(command.api_socket, error.what());
  }
  return static_cast<int>(ExitStatus::ok);
}

int set(const SetCommand& command) {
  const json info =
      command.balloon
          ? request(command.api_socket, "PUT", "/balloon", balloon_to_json(*command.balloon))
          : request(command.api_socket, "PUT", "/migration", to_json(command.settings));
  static_cast<void>(table_of(info, command.api_socket));
  if (command.json) print_out(vmm::json_text(info) + '\n');
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
  const std::string table = table_of(info, command.api_socket);
  if (command.json) {
    print_out(vmm::json_text(info) + '\n');
  } else if (command.verb == Verb::info) {
    print_out(table);
  }
  return static_cast<int>(ExitStatus::ok);
}

}  // namespace ferry
