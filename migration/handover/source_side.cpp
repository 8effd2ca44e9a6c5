#include "migration/handover/source_side.hpp"

#include <array>

namespace migration::handover {

// Not in one namespace with those of the other side: some builds compile both files as one.
namespace source {
namespace {

using enum Action;
using S = SourceSide::Stage;
using E = SourceSide::Event;

constexpr Actions kNothing{};
/// The VM stays: before the destination can be prepared nobody has to be told but by this link.
constexpr Actions kStayAndSay{send_abort, close_link};
constexpr Actions kResumeAndSay{run_guest, send_abort, close_link};
constexpr Actions kLetGo{send_released, drop_guest};

constexpr auto kRules = std::to_array<Rule<SourceSide>>({
    // While the guest runs, all ends with the VM here.
    {S::connecting, E::accept, kNothing, S::copying},
    {S::connecting, E::refused, {close_link}, S::here},
    {S::connecting, E::link_lost, kNothing, S::here},
    {S::connecting, E::overdue, {close_link}, S::here},
    {S::connecting, E::guest_ended, kStayAndSay, S::here},
    {S::connecting, E::cancel, kStayAndSay, S::here},
    {S::copying, E::guest_stopped, {stop_guest}, S::stopped},
    {S::copying, E::refused, {close_link}, S::here},
    {S::copying, E::link_lost, kNothing, S::here},
    {S::copying, E::guest_ended, kStayAndSay, S::here},
    {S::copying, E::cancel, kStayAndSay, S::here},

    // The guest is stopped. Until Commit every failure has it resumed here.
    {S::stopped, E::all_sent, {send_last_round}, S::completing},
    {S::stopped, E::refused, {run_guest, close_link}, S::here},
    {S::stopped, E::link_lost, {run_guest}, S::here},
    {S::stopped, E::overdue, kResumeAndSay, S::here},
    {S::stopped, E::cancel, kResumeAndSay, S::here},
    {S::completing, E::prepared, {send_commit}, S::committed},
    {S::completing, E::refused, kResumeAndSay, S::here},
    {S::completing, E::link_lost, {run_guest}, S::here_telling},
    {S::completing, E::overdue, {run_guest, send_abort}, S::here_telling},
    {S::completing, E::cancel, {run_guest, send_abort}, S::here_telling},

    // From here on it runs here again only by the destination's word, by its disks, or by the
    // operator's word.
    {S::committed, E::running, kLetGo, S::there_telling},
    {S::committed, E::running_lacking, kNothing, S::serving},
    {S::committed, E::ended, kLetGo, S::there_telling},
    {S::committed, E::refused, kResumeAndSay, S::here},
    {S::committed, E::link_lost, kNothing, S::in_doubt},
    {S::committed, E::overdue, {close_link}, S::in_doubt},
    {S::in_doubt, E::connected, {send_inquire}, S::asking},
    {S::in_doubt, E::unused_there, {run_guest}, S::here},
    {S::in_doubt, E::force, {run_guest}, S::here_telling},
    {S::asking, E::status_prepared, {send_commit}, S::committed},
    {S::asking, E::status_running, kNothing, S::committed},
    {S::asking, E::status_refused, kResumeAndSay, S::here},
    {S::asking, E::status_unknown, {close_link}, S::in_doubt},
    {S::asking, E::link_lost, kNothing, S::in_doubt},
    {S::asking, E::overdue, {close_link}, S::in_doubt},
    {S::asking, E::force, {close_link, run_guest}, S::here_telling},

    // It runs there and lacks pages. No word of the destination brings it back.
    {S::serving, E::running_lacking, kNothing, S::serving},
    {S::serving, E::running, kLetGo, S::there_telling},
    {S::serving, E::ended, kLetGo, S::there_telling},
    {S::serving, E::link_lost, kNothing, S::serving_unlinked},
    {S::serving_unlinked, E::connected, {send_inquire}, S::serving_asking},
    {S::serving_unlinked, E::force, {run_guest}, S::here_telling},
    {S::serving_asking, E::status_running, kNothing, S::serving},
    {S::serving_asking, E::status_unknown, {close_link}, S::serving_unlinked},
    {S::serving_asking, E::link_lost, kNothing, S::serving_unlinked},
    {S::serving_asking, E::overdue, {close_link}, S::serving_unlinked},
    {S::serving_asking, E::force, {close_link, run_guest}, S::here_telling},

    // The VM is here, for good. A destination that may hold it is told, for some minutes.
    {S::here_telling, E::prepared, kNothing, S::here_telling},  // it crossed `abort`
    {S::here_telling, E::refused, {close_link}, S::here},       // its answer to `abort`
    {S::here_telling, E::connected, {send_inquire}, S::here_asking},
    {S::here_telling, E::telling_over, {close_link}, S::here},
    {S::here_asking, E::status_prepared, {send_abort}, S::here_telling},
    {S::here_asking, E::status_running, {warn_two_owners, close_link}, S::here},
    {S::here_asking, E::status_refused, kStayAndSay, S::here},
    {S::here_asking, E::status_unknown, {close_link}, S::here_telling},
    {S::here_asking, E::link_lost, kNothing, S::here_telling},
    {S::here_asking, E::overdue, {close_link}, S::here_telling},
    {S::here_asking, E::telling_over, {close_link}, S::here},

    // The VM is there, for good. The destination is told that this is known: until then it neither
    // passes the VM on nor ends without having stayed to answer.
    {S::there_telling, E::acknowledged, {close_link}, S::there},
    {S::there_telling, E::running, kNothing, S::there_telling},  // it said so twice
    {S::there_telling, E::ended, kNothing, S::there_telling},    // right after it arrived
    {S::there_telling, E::connected, {send_inquire}, S::there_asking},
    {S::there_telling, E::telling_over, {close_link}, S::there},
    {S::there_asking, E::status_running, {send_released}, S::there_telling},
    {S::there_asking, E::status_unknown, {close_link}, S::there_telling},
    {S::there_asking, E::link_lost, kNothing, S::there_telling},
    {S::there_asking, E::overdue, {close_link}, S::there_telling},
    {S::there_asking, E::telling_over, {close_link}, S::there},
});

constexpr const char* kIsHere = "the VM is here";
constexpr const char* kServing = "the VM is at {}; pages that it lacks are still here";
constexpr const char* kInDoubt =
    "in doubt: the VM is paused here and may run at {}. This process keeps asking there; "
    "'ferry set --to' gives it another address. If that process is known to be dead, and its guest "
    "not to have ended before, 'ferry resume --force' runs the VM here, as of the handover. A "
    "process that waits there with the VM paused is ended by 'ferry stop' first. If the VM runs "
    "there, or has ended there, 'ferry stop' ends it here";
constexpr const char* kServingUnlinked =
    "the VM is at {}, if that process lives, and lacks pages that are here. It is paused here, as "
    "of the handover, with all its memory. This process keeps dialling there; 'ferry set --to' "
    "gives it another address. If that process is known to be dead, and its guest not to have "
    "ended "
    "before, 'ferry resume --force' runs the VM here from that moment on, and what the guest did "
    "since is lost";
constexpr const char* kCommitted =
    "the VM is paused here. {} is being told to run it, or says that it does: its answer is "
    "awaited";
constexpr const char* kThere = "the VM is at {}";

constexpr std::array<Advice, SourceSide::kStages> kAdvice = {{
    {Owner::here, false, kIsHere},                // connecting
    {Owner::here, false, kIsHere},                // copying
    {Owner::here, false, kIsHere},                // stopped
    {Owner::here, false, kIsHere},                // completing
    {Owner::in_doubt, false, kCommitted},         // committed
    {Owner::in_doubt, true, kInDoubt},            // in_doubt
    {Owner::in_doubt, true, kInDoubt},            // asking
    {Owner::other_side, false, kServing},         // serving
    {Owner::other_side, true, kServingUnlinked},  // serving_unlinked
    {Owner::other_side, true, kServingUnlinked},  // serving_asking
    {Owner::here, false, kIsHere},                // here_telling
    {Owner::here, false, kIsHere},                // here_asking
    {Owner::here, false, kIsHere},                // here
    {Owner::other_side, false, kThere},           // there_telling
    {Owner::other_side, false, kThere},           // there_asking
    {Owner::other_side, false, kThere},           // there
}};

}  // namespace
}  // namespace source

EventKind SourceSide::kind(Event event) {
  if (event <= Event::status_unknown) return EventKind::frame;
  return event < Event::cancel ? EventKind::occurrence : EventKind::request;
}

std::string_view SourceSide::name(Stage stage) {
  static constexpr std::array<std::string_view, kStages> kNames = {
      "connecting",   "copying",     "stopped", "completing",       "committed",
      "in doubt",     "asking",      "serving", "serving unlinked", "serving asking",
      "here telling", "here asking", "here",    "there telling",    "there asking",
      "there"};
  return kNames.at(static_cast<std::size_t>(stage));
}

std::string_view SourceSide::name(Event event) {
  static constexpr std::array<std::string_view, kEvents> kNames = {
      "accept",         "prepared",        "running, pages missing",
      "running",        "refused",         "ended",
      "acknowledged",   "status prepared", "status running",
      "status refused", "status unknown",  "guest stopped",
      "all sent",       "connected",       "link lost",
      "overdue",        "telling over",    "unused there",
      "guest ended",    "cancel",          "force"};
  return kNames.at(static_cast<std::size_t>(event));
}

std::span<const Rule<SourceSide>> SourceSide::rules() { return source::kRules; }

const RuleTable<SourceSide>& SourceSide::table() {
  static const RuleTable<SourceSide> by_case(rules());
  return by_case;
}

Advice SourceSide::advice(Stage stage) {
  return source::kAdvice.at(static_cast<std::size_t>(stage));
}

}  // namespace migration::handover
