#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/exit_status.hpp"
#include "ferry/migrate_request.hpp"
#include "ferry/say.hpp"
#include "ferry/session.hpp"
#include "ferry/store_of_process.hpp"
#include "vmm/text/json_text.hpp"

/// What the control API and signals ask of the process, and how a migration that was asked for
/// ends.
namespace ferry {

namespace asio = boost::asio;
using migration::MigrationReport;
using migration::Outcome;
using migration::OutgoingMigration;
using nlohmann::json;

vmm::Machine& Session::machine_for(const char* what) const {
  if (lent()) {
    const Outcome outcome = outgoing_->live().outcome;
    if (outcome != Outcome::in_doubt && outgoing_->serving()) {
      throw Conflict(
          fmt::format("cannot {}: the VM is elsewhere by now, and this process only "
                      "serves the pages that it lacks there",
                      what));
    }
    throw Conflict(outcome == Outcome::in_doubt
                       ? fmt::format("cannot {}: who runs the VM is in doubt. See 'ferry info'; "
                                     "'ferry resume --force' runs it here",
                                     what)
                       : fmt::format("cannot {} while the VM is being migrated: wait for the "
                                     "migration's end, or 'ferry cancel' it",
                                     what));
  }
  if (!machine_) {
    throw Conflict(fmt::format("cannot {}: no VM runs here ({}){}", what, owner(),
                               state() == "prepared" ? ". A VM that waits for its source is "
                                                       "resumed by 'ferry resume --force' alone"
                                                     : ""));
  }
  return *machine_;
}

void Session::pause() {
  machine_for("pause").pause();
  waiting_for_source_ = false;
}

void Session::resume(bool force) {
  if (!force) {
    vmm::Machine& machine = machine_for("resume");
    if (waiting_for_source_) {
      throw Conflict("cannot resume: pages are missing and their source is away");
    }
    return machine.resume();
  }
  std::string refusal = "nothing is in doubt here: there is nothing to force";
  if (lent()) {
    refusal = outgoing_->force_resume();
  } else if (incoming_ && !keeper_) {
    refusal = incoming_->force_resume();
  }
  if (!refusal.empty()) throw Conflict("cannot resume --force: " + refusal);
  ending_.reset();  // what was asked for before is not wanted any more
}

void Session::stop() {
  if (!lent()) {
    if (machine_) machine_->pause();
    return leave(static_cast<int>(ExitStatus::ok));
  }
  if (outgoing_->live().outcome == Outcome::in_doubt) {
    return end_now(static_cast<int>(ExitStatus::ok));
  }
  if (const std::string refusal = outgoing_->cancel(); !refusal.empty()) {
    throw Conflict(outgoing_->serving()
                       ? "cannot stop: the VM is elsewhere by now and lacks pages that are here. "
                         "This process ends by itself once they have gone"
                       : "cannot stop: the VM is just being handed over. See 'ferry info' for "
                         "what comes of it");
  }
  ending_ = static_cast<int>(ExitStatus::ok);
}

void Session::cancel() {
  if (!lent()) throw Conflict("no migration of this VM runs: nothing to cancel");
  if (const std::string refusal = outgoing_->cancel(); !refusal.empty()) throw Conflict(refusal);
}

asio::awaitable<void> Session::settled() {
  if (!incoming_ || !incoming_->status().unheard) co_return;
  boost::system::error_code cancelled;
  co_await settled_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

std::shared_ptr<ReportStream> Session::migrate(const json& request) {
  migration::MigrateOptions options = migrate_options_from_json(request);
  vmm::Machine& machine = machine_for("migrate");
  if (options.keep_image) options.keep_in = image_store();
  if (tracker_ && machine.dirty_log().active()) {
    options.tracked_since = {tracker_->token(), tracker_->changed()};
  }
  if (machine.ended() || exit_status_) throw Conflict("cannot migrate: the guest has ended");
  if (const auto status = fetching(); status && status->missing > 0) {
    throw Conflict(
        fmt::format("cannot migrate: {} pages of the VM are still to come from where it was before",
                    status->missing));
  }
  if (machine.lacks_pages()) {
    throw Conflict("cannot migrate: the VM's last pages are just being put in place: try again");
  }
  if (incoming_ && incoming_->status().unheard) {
    throw Conflict("cannot migrate: " + incoming_->status().detail);
  }
  std::erase_if(telling_, [](const auto& earlier) { return earlier->done(); });
  if (outgoing_ && !outgoing_->done()) telling_.push_back(std::move(outgoing_));
  watcher_ = std::make_shared<ReportStream>(context_);
  const auto in_main = [this](void (Session::*member)(const MigrationReport&)) {
    return [this, member](const MigrationReport& report) {
      asio::post(context_, [this, member, report] { (this->*member)(report); });
    };
  };
  OutgoingMigration::Callbacks callbacks{
      .progress = in_main(&Session::progressed),
      .in_doubt = in_main(&Session::in_doubt),
      .ended =
          [this](OutgoingMigration::Result result) {
            asio::post(context_, [this, result = std::move(result)]() mutable {
              migration_ended(std::move(result));
            });
          },
      .message = say,
      .tend =
          [watch = store_watch_](vmm::Machine& lent) {
            if (watch) watch->look(lent);
          },
      .over =
          [this] {
            asio::post(context_, [this] {
              // Not of an earlier migration, which was still telling its destination.
              if (outgoing_ && outgoing_->done()) wake(told_);
            });
          },
      .released =
          [this] { asio::post(context_, [this] { leave(static_cast<int>(ExitStatus::ok)); }); }};
  // It tells the destination for three timeouts at most that it knows where the VM is.
  told_.expires_at(asio::steady_timer::time_point::max());
  try {
    outgoing_ = std::make_unique<OutgoingMigration>(std::move(machine_), std::move(options),
                                                    std::move(callbacks));
  } catch (...) {
    own(std::move(machine_));
    throw;
  }
  return watcher_;
}

std::shared_ptr<migration::ImageStore> Session::image_store() {
  if (image_store_) return image_store_;
  try {
    image_store_ = open_image_store(migration::default_image_store());
  } catch (const std::exception& error) {
    throw Conflict(
        fmt::format("cannot keep an image: {}. Start the VM with an --image-store, or "
                    "move it without --keep-image",
                    error.what()));
  }
  return image_store_;
}

void Session::set(const json& request) {
  const migration::MigrateSettings settings = migrate_settings_from_json(request);
  if (!lent()) throw Conflict("no migration of this VM runs: nothing to set");
  if (settings.to && !outgoing_->link_lost()) {
    throw Conflict(
        fmt::format("where the VM goes can be set only while the link is lost after the "
                    "handover{}",
                    outgoing_->serving() ? "" : ": cancel the migration and start another"));
  }
  outgoing_->set(settings);
}

void Session::progressed(const MigrationReport& report) {
  if (watcher_) watcher_->progress(vmm::json_text(migration::to_json(report)) + '\n');
}

void Session::in_doubt(const MigrationReport& report) {
  say(fmt::format("{}; {}", report.error.value_or(""), report.owner));
  if (ending_) {
    say("this process ends once that is settled. Another signal or Ctrl-A X ends it now");
  }
  if (watcher_)
    std::exchange(watcher_, nullptr)->end(vmm::json_text(migration::to_json(report)) + '\n');
}

void Session::migration_ended(OutgoingMigration::Result result) {
  const MigrationReport& report = result.report;
  last_report_ = report;
  if (watcher_)
    std::exchange(watcher_, nullptr)->end(vmm::json_text(migration::to_json(report)) + '\n');
  const std::string what =
      fmt::format("migration {}{}{}: {}", migration::to_string(report.outcome),
                  report.error ? ", " : "", report.error.value_or(""), report.owner);
  if (report.outcome == Outcome::completed) {
    keeper_ = result.kept;
    console_->disconnect(keeper_);
    say(what);
    if (!keeper_) return leave(static_cast<int>(ExitStatus::ok));
    say("keeps the image of the VM for its return, until somebody takes or drops it");
  } else {
    own(std::move(result.machine));
    if (outgoing_ && outgoing_->done()) outgoing_.reset();
    say(what);
  }
  if (!ending_) return;
  if (machine_) machine_->pause();
  leave(*ending_);
}

}  // namespace ferry
