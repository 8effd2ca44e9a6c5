#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "migration/handover/advice.hpp"
#include "migration/handover/handover_state.hpp"

namespace migration::handover {

/// The side that the VM comes to. The stages that begin with `lacking` are those of a VM that is
/// prepared while pages are missing: nobody can run it without its source.
struct DestinationSide {
  enum class Stage : std::uint8_t {
    listening,
    receiving,
    prepared,           ///< holds the complete VM, paused
    prepared_unlinked,  ///< the same; the link is lost
    lacking,
    lacking_unlinked,
    starting,         ///< told to run the VM
    starting_forced,  ///< by the operator
    lacking_starting,
    fetching,           ///< the VM is here, and lacks pages
    fetching_unlinked,  ///< the same; the link is lost
    running,            ///< the VM is here, whole; the source may not know it yet
    settled,            ///< the VM is here, and its source knows it or is dead
    ended,              ///< the guest has ended here; the source may not know it yet
    refused,            ///< has dropped a VM that the source may have committed
    over,               ///< nothing is left to answer: the process may end
  };
  static constexpr std::size_t kStages = static_cast<std::size_t>(Stage::over) + 1;
  static constexpr Stage kFirstStage = Stage::listening;

  enum class Event : std::uint8_t {
    // frames
    offer,
    inquire,  ///< with the VM's token and this incarnation
    commit,
    abort,
    released,
    // what happens
    offer_unfit,     ///< an offer that this host cannot take
    loaded,          ///< all has come and is in place
    loaded_lacking,  ///< the same, but for pages that are missing
    load_failed,     ///< or what came was not what the source has
    started,
    start_failed,
    all_here,     ///< the last missing page has landed
    guest_ended,  ///< by itself, or because the process was told to end
    link_lost,    ///< the newest connection of the VM
    gap,          ///< CLOCK_BOOTTIME has gone on for longer than the timeout without this process
    overdue,      ///< the source lives, and does not say what becomes of a VM that is prepared
    answer_over,  ///< the time for answering is over
    // wishes
    force,    ///< 'ferry resume --force': the source is dead
    pass_on,  ///< 'ferry migrate' of the VM to a third host
    decline,  ///< the process is told to end before the VM runs here
  };
  static constexpr std::size_t kEvents = static_cast<std::size_t>(Event::decline) + 1;

  static EventKind kind(Event event);
  static std::string_view name(Stage stage);
  static std::string_view name(Event event);
  static std::span<const Rule<DestinationSide>> rules();
  static const RuleTable<DestinationSide>& table();
  static Advice advice(Stage stage);
};

using DestinationHandover = HandoverState<DestinationSide>;

}  // namespace migration::handover
