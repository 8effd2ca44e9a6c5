#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "migration/handover/advice.hpp"
#include "migration/handover/handover_state.hpp"

namespace migration::handover {

/// The side that the VM leaves.
struct SourceSide {
  enum class Stage : std::uint8_t {
    connecting,        ///< the VM is offered, and runs here
    copying,           ///< accepted; the guest runs while its memory is copied
    stopped,           ///< the guest is stopped; the destination cannot be prepared yet
    completing,        ///< it has been told all: it may be prepared
    committed,         ///< told to run the VM, or said to run it: whether it does is to come
    in_doubt,          ///< the link was lost then, and who runs the VM is not known
    asking,            ///< the same; an inquiry is open
    serving,           ///< it runs there, and lacks pages that are here
    serving_unlinked,  ///< the same; the link is lost
    serving_asking,    ///< the same; an inquiry is open
    here_telling,      ///< the VM is here again; the destination may hold it, and is to hear that
    here_asking,       ///< the same; an inquiry is open
    here,              ///< the VM is here: the handover is over
    there_telling,     ///< the VM is there, whole; the destination is to hear that this is known
    there_asking,      ///< the same; an inquiry is open
    there,             ///< the VM is there: the handover is over
  };
  static constexpr std::size_t kStages = static_cast<std::size_t>(Stage::there) + 1;
  static constexpr Stage kFirstStage = Stage::connecting;

  enum class Event : std::uint8_t {
    // frames of the incarnation that accepted
    accept,
    prepared,
    running_lacking,  ///< `running`, with pages missing
    running,          ///< `running`, with none missing
    refused,
    ended,
    acknowledged,  ///< it has read `released`
    status_prepared,
    status_running,
    status_refused,
    status_unknown,  ///< or a status of another incarnation
    // what happens
    guest_stopped,  ///< it is time for the stop
    all_sent,       ///< but for `last_round` or `post_copy`
    connected,      ///< an inquiry has reached somebody
    link_lost,      ///< the control connection, the inquiry, or one for pages that are needed
    overdue,        ///< the peer lives, and has not answered in time
    telling_over,   ///< the time for telling is over
    unused_there,   ///< this side has the VM's disks again, and they show that it never ran there
    guest_ended,
    // wishes
    cancel,
    force,  ///< 'ferry resume --force'
  };
  static constexpr std::size_t kEvents = static_cast<std::size_t>(Event::force) + 1;

  /// The VM is here, and the destination cannot run it yet.
  static constexpr bool before_commit(Stage stage) { return stage <= Stage::completing; }
  /// The destination has run the VM, and pages that it lacks are here.
  static constexpr bool serves(Stage stage) {
    return stage >= Stage::serving && stage <= Stage::serving_asking;
  }
  /// The VM is here for good, or there.
  static constexpr bool stays(Stage stage) {
    return stage >= Stage::here_telling && stage <= Stage::here;
  }
  static constexpr bool has_moved(Stage stage) { return stage >= Stage::there_telling; }
  /// The destination may not know that.
  static constexpr bool tells(Stage stage) {
    return stage >= Stage::here_telling && stage != Stage::here && stage != Stage::there;
  }
  /// Who runs the VM is to be asked, or the destination to be found again.
  static constexpr bool searches(Stage stage) {
    return stage == Stage::in_doubt || stage == Stage::asking || stage == Stage::serving_unlinked ||
           stage == Stage::serving_asking;
  }

  static EventKind kind(Event event);
  static std::string_view name(Stage stage);
  static std::string_view name(Event event);
  static std::span<const Rule<SourceSide>> rules();
  static const RuleTable<SourceSide>& table();
  static Advice advice(Stage stage);
};

using SourceHandover = HandoverState<SourceSide>;

}  // namespace migration::handover
