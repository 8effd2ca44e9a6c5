#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/exit_status.hpp"
#include "ferry/host_memory.hpp"
#include "ferry/leaving.hpp"
#include "ferry/migrate_request.hpp"
#include "ferry/say.hpp"
#include "ferry/session.hpp"

/// What the control API asks of the process, and how a migration that was asked for ends.
namespace ferry {

namespace asio = boost::asio;
using migration::MigrationReport;
using migration::Outcome;
using migration::SourceMigration;
using nlohmann::json;

vmm::Machine& Session::machine_for(const char* what) const {
  switch (vm_.place()) {
    case VmPlace::here: break;
    case VmPlace::lent: throw Conflict(why_not(what, departure_.leaving()));
    case VmPlace::awaited:
    case VmPlace::kept:
    case VmPlace::gone:
      throw Conflict(fmt::format("cannot {}: no VM runs here ({}){}", what, owner(),
                                 state() == "prepared"
                                     ? ". A VM that waits for its source is resumed by 'ferry "
                                       "resume --force' alone"
                                     : ""));
  }
  return *vm_.machine();
}

void Session::pause() {
  machine_for("pause").pause();
  arrival_.paused();
}

void Session::resume(bool force) {
  if (!force) {
    vmm::Machine& machine = machine_for("resume");
    if (arrival_.waiting_for_source()) {
      throw Conflict("cannot resume: pages are missing and their source is away");
    }
    return machine.resume();
  }
  std::string refusal = "nothing is in doubt here: there is nothing to force";
  switch (vm_.place()) {
    case VmPlace::awaited:
    case VmPlace::here: refusal = arrival_.force_resume(); break;
    case VmPlace::lent:
    case VmPlace::gone: refusal = departure_.force_resume(); break;
    case VmPlace::kept: break;
  }
  if (!refusal.empty()) throw Conflict("cannot resume --force: " + refusal);
  end_.take_back();
}

void Session::stop() {
  if (vm_.with_migration()) return stop_migration();
  if (vm_.machine() != nullptr) vm_.machine()->pause();
  shut_down(static_cast<int>(ExitStatus::ok));
}

void Session::stop_migration() {
  if (departure_.leaving().outcome == Outcome::in_doubt) {
    return end_now(static_cast<int>(ExitStatus::ok));
  }
  if (!departure_.cancel().empty()) throw Conflict(why_no_stop(departure_.leaving()));
  end_.begin_after_migration(static_cast<int>(ExitStatus::ok));
}

void Session::cancel() {
  if (!vm_.with_migration()) throw Conflict("no migration of this VM runs: nothing to cancel");
  if (const std::string refusal = departure_.cancel(); !refusal.empty()) throw Conflict(refusal);
}

asio::awaitable<void> Session::settled() { return arrival_.settled(); }

std::shared_ptr<ReportStream> Session::migrate(const json& request) {
  migration::MigrateOptions options = migrate_options_from_json(request);
  vmm::Machine& machine = machine_for("migrate");
  if (options.keep_image) options.keep_in = room_.store_for_image();
  options.tracked_since = arrival_.tracked_since();
  options.memory_room = memory_room();
  check_may_leave("migrate", machine);
  acquire_to_leave(machine);
  foresight_.end();
  std::unique_ptr<vmm::Machine> lent = vm_.lend();
  try {
    return departure_.begin(std::move(lent), std::move(options));
  } catch (...) {
    own(std::move(lent));
    throw;
  }
}

void Session::check_may_leave(const char* what, const vmm::Machine& machine) const {
  if (machine.ended() || end_.begun()) {
    throw Conflict(fmt::format("cannot {}: the guest has ended", what));
  }
  if (const auto lacks = arrival_.fetching(); lacks && lacks->missing > 0) {
    throw Conflict(
        fmt::format("cannot {}: {} pages of the VM are still to come from where it was before",
                    what, lacks->missing));
  }
  if (machine.lacks_pages()) {
    throw Conflict(
        fmt::format("cannot {}: the VM's last pages are just being put in place: try again", what));
  }
  if (const auto arrival = arrival_.status(); arrival && arrival->unheard) {
    throw Conflict(fmt::format("cannot {}: {}", what, arrival->detail));
  }
}

/// A VM that may not run here, such as one whose disk another has written to, runs nowhere else
/// either.
void Session::acquire_to_leave(vmm::Machine& machine) {
  try {
    machine.acquire();
  } catch (const std::exception& failure) {
    throw Conflict(fmt::format("cannot migrate: {}", failure.what()));
  }
}

asio::awaitable<json> Session::forecast(json request) {
  ForecastRequest wanted = forecast_request_from_json(request);
  wanted.options.memory_room = memory_room();
  check_may_leave("predict", machine_for("predict"));
  co_return co_await foresight_.look(std::move(wanted));
}

void Session::set(const json& request) {
  const migration::MigrateSettings settings = migrate_settings_from_json(request);
  if (!vm_.with_migration()) throw Conflict("no migration of this VM runs: nothing to set");
  departure_.set(settings);
}

void Session::set_balloon(const json& request) {
  const std::uint64_t target = balloon_from_json(request);
  static_cast<void>(machine_for("set the balloon"));
  if (!balloon_) {
    throw Conflict("cannot set the balloon: the VM has none; 'ferry run --balloon' gives it one");
  }
  balloon_->set_target(target);
}

void Session::in_doubt() {
  if (end_.after_migration()) {
    say("this process ends once that is settled. Another signal or Ctrl-A X ends it now");
  }
}

void Session::migration_ended(SourceMigration::Result result) {
  const MigrationReport& report = result.report;
  const std::string what =
      fmt::format("migration {}{}{}: {}", migration::to_string(report.outcome),
                  report.error ? ", " : "", report.error.value_or(""), report.owner);
  if (report.outcome == Outcome::completed) {
    vm_.left(result.kept);
    balloon_.reset();
    console_->disconnect(result.kept);
    say(what);
    if (!result.kept) return shut_down(static_cast<int>(ExitStatus::ok));
    say("keeps the image of the VM for its return, until somebody takes or drops it");
  } else {
    own(std::move(result.machine));
    say(what);
  }
  if (!end_.after_migration()) return;
  if (vm_.machine() != nullptr) vm_.machine()->pause();
  shut_down(*end_.after_migration());
}

}  // namespace ferry
