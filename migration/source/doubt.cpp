#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <stdexcept>

#include "migration/source/device_calls.hpp"
#include "migration/source/inquiry.hpp"
#include "migration/source/source.hpp"

/// The source after the link was lost at or after Commit: it asks who runs the VM until it is told,
/// or until the operator decides. The rules are in docs/protocol.md, "Who owns the VM".
namespace migration {

namespace asio = boost::asio;

namespace {

/// A link that is lost while pages are being served is told to people once it has been away for so
/// many timeouts: until then it may well come back by itself.
constexpr int kTimeoutsUntilTold = 3;
constexpr const char* kUnused =
    "the destination was lost before it ran the VM, as the VM's disks show";
constexpr const char* kFree =
    ". No process has its disks now: so nobody runs it, which does not say that nobody has run it";
constexpr const char* kRefused =
    "the link was lost during the handover, and the destination refused";

}  // namespace

/// The inquiry is the link from now on.
asio::awaitable<void> SourceMigration::Source::inquire() {
  co_await link_.dial(options_.to);
  happened(Event::connected);
  const wire::Inquire question{.token = link_.token(), .incarnation = accept_.incarnation};
  switch (co_await ask(link_.control(), question, options_.timeout)) {
    case wire::VmStatus::prepared: co_return happened(Event::status_prepared);
    case wire::VmStatus::running: co_return happened(Event::status_running);
    case wire::VmStatus::refused:
      if (!Side::stays(stage())) failure_ = std::make_exception_ptr(std::runtime_error(kRefused));
      co_return happened(Event::status_refused);
    case wire::VmStatus::unknown: break;
  }
  happened(Event::status_unknown);
  throw std::runtime_error("it does not know this VM");
}

asio::awaitable<void> SourceMigration::Source::find_owner() {
  co_await redial_.lost(Side::serves(stage()) ? running_.missing : 0);
  while (Side::searches(stage())) {
    std::string problem;
    // The operator's word ends what is under way here.
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    try {
      co_await ask_who_runs();
    } catch (const std::exception& error) {
      problem = error.what();
      happened(Event::link_lost);
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (!Side::searches(stage())) break;
    drop_link();
    const bool unused = co_await unused_there();
    if (unused) {
      failure_ = std::make_exception_ptr(std::runtime_error(kUnused));
      happened(Event::unused_there);
      break;
    }
    const auto held =
        co_await source::held_elsewhere(machine_->devices_of_host(), options_.timeout);
    tell_doubt(problem, held);
    co_await redial_.pause();
  }
  follow();  // the operator may have decided
}

/// Throws when it stays in doubt who owns the VM, saying why.
asio::awaitable<void> SourceMigration::Source::ask_who_runs() {
  co_await inquire();
  if (stage() == Stage::committed || stage() == Stage::serving) {
    on_word(co_await link_.control().answer(options_.timeout));
  }
  if (stage() == Stage::serving) co_await take_up_link();
}

/// Who gives the disks up, or dies, does not run the VM later; and who has run it has said so
/// beside them before its first instruction.
asio::awaitable<bool> SourceMigration::Source::unused_there() {
  if (!disks_tell_ || stage() != Stage::in_doubt || local_.ran_there()) co_return false;
  co_return co_await hold_.take_unused(options_.timeout);
}

/// What is told while the destination is searched for.
void SourceMigration::Source::tell_doubt(const std::string& problem, std::optional<bool> held) {
  const handover::Advice advice = Side::advice(stage());
  bool news = false;
  journal_.write([&](MigrationReport& report) {
    report.phase = post_copy_ ? "link lost" : "in doubt";
    report.left_ms = std::nullopt;
    report.error = fmt::format(
        "the link {}: {}",
        post_copy_ ? "to the destination is lost" : "was lost during the handover", problem);
    report.owner = fmt::format(fmt::runtime(advice.text), to_string(options_.to));
    if (!held.value_or(true)) report.owner += kFree;
    if (report.outcome == Outcome::in_doubt) return;
    // A link that is lost while pages are served may be back in a moment.
    if (post_copy_ && redial_.away() < kTimeoutsUntilTold * options_.timeout) return;
    report.outcome = Outcome::in_doubt;
    news = true;
  });
  if (!news) return;
  update_counts();
  callbacks_.in_doubt(live());
}

std::string SourceMigration::Source::force_resume() {
  if (local_.ran_there()) {
    return "the guest has run at the destination, in the memory that was handed over: there is "
           "nothing here to go on from. 'ferry stop' ends this process";
  }
  if (const auto refused_in = owner_.wish(Event::force)) {
    const bool again = *refused_in == Stage::committed && live().outcome == Outcome::in_doubt;
    return again ? "the destination answers again and is being told to run the VM: see 'ferry "
                   "info' for what comes of it"
                 : "the VM is not in doubt here: nothing to force";
  }
  asio::post(context_, [this] {
    follow();
    redial_.hurry();
    if (link_.up()) link_.control().close();
    interrupt_.emit(asio::cancellation_type::terminal);
  });
  return {};
}

}  // namespace migration
