#include "migration/handover/destination_side.hpp"

#include <array>

namespace migration::handover {

// Not in one namespace with those of the other side: some builds compile both files as one.
namespace destination {
namespace {

using enum Action;
using S = DestinationSide::Stage;
using E = DestinationSide::Event;

constexpr Actions kNothing{};
constexpr Actions kRefuse{send_refused, drop_guest};
constexpr Actions kSayPrepared{close_earlier, send_status_prepared};
constexpr Actions kSayRunning{close_earlier, send_status_running, send_running};

constexpr auto kRules = std::to_array<Rule<DestinationSide>>({
    {S::listening, E::offer, {send_accept}, S::receiving},
    {S::listening, E::offer_unfit, {send_refused, close_link}, S::listening},
    {S::listening, E::decline, kNothing, S::over},

    // What is not complete is given up for every reason: the source has the VM.
    {S::receiving, E::loaded, {send_prepared}, S::prepared},
    {S::receiving, E::loaded_lacking, {send_prepared}, S::lacking},
    {S::receiving, E::load_failed, {send_refused}, S::over},
    {S::receiving, E::abort, kNothing, S::over},
    {S::receiving, E::inquire, {send_status_refused}, S::over},
    {S::receiving, E::link_lost, kNothing, S::over},
    {S::receiving, E::decline, {send_refused}, S::over},

    // Complete and paused. Nothing but Commit, or the operator, starts it. What was read after a
    // gap may be older than what the source has decided since: only what it says on a new link
    // counts.
    {S::prepared, E::commit, {start_guest}, S::starting},
    {S::prepared, E::abort, {send_refused}, S::over},
    {S::prepared, E::inquire, kSayPrepared, S::prepared},
    {S::prepared, E::link_lost, kNothing, S::prepared_unlinked},
    {S::prepared, E::gap, {close_link}, S::prepared_unlinked},
    {S::prepared, E::overdue, {close_link}, S::prepared_unlinked},
    {S::prepared, E::decline, kRefuse, S::refused},
    {S::prepared_unlinked, E::inquire, {send_status_prepared}, S::prepared},
    {S::prepared_unlinked, E::force, {start_guest}, S::starting_forced},
    {S::prepared_unlinked, E::decline, {drop_guest}, S::refused},

    // The same with pages missing: it cannot run without its source, whatever the operator says.
    {S::lacking, E::commit, {start_guest}, S::lacking_starting},
    {S::lacking, E::abort, {send_refused}, S::over},
    {S::lacking, E::inquire, kSayPrepared, S::lacking},
    {S::lacking, E::link_lost, kNothing, S::lacking_unlinked},
    {S::lacking, E::gap, {close_link}, S::lacking_unlinked},
    {S::lacking, E::overdue, {close_link}, S::lacking_unlinked},
    {S::lacking, E::decline, kRefuse, S::refused},
    {S::lacking_unlinked, E::inquire, {send_status_prepared}, S::lacking},
    {S::lacking_unlinked, E::decline, {drop_guest}, S::refused},

    // A VM that cannot be started goes back to its source, unless that is dead.
    {S::starting, E::started, {send_running}, S::running},
    {S::starting, E::start_failed, kRefuse, S::refused},
    {S::starting_forced, E::started, kNothing, S::settled},
    {S::starting_forced, E::start_failed, kNothing, S::prepared_unlinked},
    {S::lacking_starting, E::started, {send_running}, S::fetching},
    {S::lacking_starting, E::start_failed, kRefuse, S::refused},

    // The VM is here. Whatever the source says does not change that.
    {S::fetching, E::inquire, kSayRunning, S::fetching},
    {S::fetching, E::link_lost, kNothing, S::fetching_unlinked},
    {S::fetching, E::all_here, {send_running}, S::running},
    {S::fetching, E::guest_ended, {send_ended}, S::ended},
    {S::fetching_unlinked, E::inquire, {send_status_running, send_running}, S::fetching},
    {S::fetching_unlinked, E::all_here, kNothing, S::running},
    {S::fetching_unlinked, E::guest_ended, kNothing, S::ended},

    // Whole, and not passed on before the source knows: it would take a VM that has gone on, or has
    // ended, for one that died with this process.
    {S::running, E::released, {send_acknowledged}, S::settled},
    {S::running, E::inquire, kSayRunning, S::running},
    {S::running, E::guest_ended, kNothing, S::ended},
    {S::running, E::force, kNothing, S::settled},
    {S::settled, E::inquire, kSayRunning, S::settled},
    {S::settled, E::released, {send_acknowledged}, S::settled},
    {S::settled, E::guest_ended, kNothing, S::over},
    {S::settled, E::pass_on, {hand_on}, S::over},

    // Nothing is here any more but the answer.
    {S::ended, E::inquire, {close_earlier, send_status_running, send_ended}, S::ended},
    {S::ended, E::released, {send_acknowledged}, S::over},
    {S::ended, E::answer_over, kNothing, S::over},
    {S::refused, E::inquire, {send_status_refused}, S::refused},
    {S::refused, E::commit, kNothing, S::refused},  // it crossed `refused`
    {S::refused, E::abort, kNothing, S::over},
    {S::refused, E::answer_over, kNothing, S::over},
});

constexpr const char* kPrepared = "holds the complete VM, paused, until the source commits";
constexpr const char* kUnlinked =
    "holds the complete VM, paused, and lost the link to the source. Waits for the source to "
    "reconnect; if the source is known to be dead, 'ferry resume --force' runs the VM here. A "
    "source that lives may run it itself";
constexpr const char* kLacking =
    "holds the VM, paused; pages of it are at the source alone: it runs only once the source says "
    "so";
constexpr const char* kLackingUnlinked =
    "holds the VM, paused, and lost the link to the source, which alone has the rest of its pages. "
    "Waits for the source to reconnect; without it the VM cannot run here, and 'ferry stop' drops "
    "it";
constexpr const char* kFetching = "the VM is here; pages that it lacks are still at the source";
constexpr const char* kFetchingUnlinked =
    "the VM is here, but pages that it lacks are still at the source, and the link to that is "
    "lost. Who touches one of them waits. A source that is gone for good takes them with it";
constexpr const char* kUnheard =
    "the VM is here. The source has not yet acknowledged that: until it does, the VM cannot go on "
    "to another host. If the source is known to be dead, 'ferry resume --force' says so";

constexpr std::array<Advice, DestinationSide::kStages> kAdvice = {{
    {Owner::other_side, false, "waits for a VM"},                  // listening
    {Owner::other_side, false, "the VM is on its way from {}"},    // receiving
    {Owner::in_doubt, false, kPrepared},                           // prepared
    {Owner::in_doubt, true, kUnlinked},                            // prepared_unlinked
    {Owner::in_doubt, false, kLacking},                            // lacking
    {Owner::in_doubt, false, kLackingUnlinked},                    // lacking_unlinked
    {Owner::here, false, "the VM is here"},                        // starting
    {Owner::here, false, "the VM is here"},                        // starting_forced
    {Owner::here, false, "the VM is here"},                        // lacking_starting
    {Owner::here, false, kFetching},                               // fetching
    {Owner::here, false, kFetchingUnlinked},                       // fetching_unlinked
    {Owner::here, true, kUnheard},                                 // running
    {Owner::here, false, "the VM is here"},                        // settled
    {Owner::nobody, false, "the guest has ended here"},            // ended
    {Owner::other_side, false, "the VM has been dropped here"},    // refused
    {Owner::other_side, false, "nothing is left here of the VM"},  // over
}};

}  // namespace
}  // namespace destination

EventKind DestinationSide::kind(Event event) {
  if (event <= Event::released) return EventKind::frame;
  return event < Event::force ? EventKind::occurrence : EventKind::request;
}

std::string_view DestinationSide::name(Stage stage) {
  static constexpr std::array<std::string_view, kStages> kNames = {
      "listening",         "receiving",
      "prepared",          "prepared unlinked",
      "lacking",           "lacking unlinked",
      "starting",          "starting forced",
      "lacking starting",  "fetching",
      "fetching unlinked", "running",
      "settled",           "ended",
      "refused",           "over"};
  return kNames.at(static_cast<std::size_t>(stage));
}

std::string_view DestinationSide::name(Event event) {
  static constexpr std::array<std::string_view, kEvents> kNames = {
      "offer",       "inquire",     "commit",       "abort",
      "released",    "offer unfit", "loaded",       "loaded, pages missing",
      "load failed", "started",     "start failed", "all here",
      "guest ended", "link lost",   "gap",          "overdue",
      "answer over", "force",       "pass on",      "decline"};
  return kNames.at(static_cast<std::size_t>(event));
}

std::span<const Rule<DestinationSide>> DestinationSide::rules() { return destination::kRules; }

const RuleTable<DestinationSide>& DestinationSide::table() {
  static const RuleTable<DestinationSide> by_case(rules());
  return by_case;
}

Advice DestinationSide::advice(Stage stage) {
  return destination::kAdvice.at(static_cast<std::size_t>(stage));
}

}  // namespace migration::handover
