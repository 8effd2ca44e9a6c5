#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace migration::handover {

/// What a side does when something has happened; in the order of the list. Both sides have some of
/// these, and no action of either is missing: what else they do does not matter to who owns the VM.
enum class Action : std::uint8_t {
  // the guest
  stop_guest,   ///< source: stops the vCPUs
  run_guest,    ///< source: resumes them, if the guest ran before
  start_guest,  ///< destination: the same, for the first time here
  drop_guest,   ///< gives the VM's memory back: it will not run here
  hand_on,      ///< destination: commits the VM to a third host
  // frames to the destination
  send_last_round,  ///< or `post_copy`: all has been told that Prepared needs
  send_commit,
  send_abort,
  send_inquire,
  send_released,
  // frames to the source
  send_accept,
  send_prepared,
  send_running,  ///< with what is missing still
  send_ended,
  send_refused,
  send_acknowledged,
  send_status_prepared,
  send_status_running,
  send_status_refused,
  // connections
  close_link,      ///< the control or inquiry connection, once what was sent has gone
  close_earlier,   ///< all connections of this VM but the one that has just asked
  warn_two_owners  ///< tells people that the VM runs twice
};
inline constexpr std::size_t kActions = static_cast<std::size_t>(Action::warn_two_owners) + 1;

[[nodiscard]] std::string_view to_string(Action action);

/// The few actions of one step.
class Actions {
 public:
  static constexpr std::size_t kMost = 3;

  constexpr Actions() = default;
  constexpr Actions(std::initializer_list<Action> actions) {
    for (const Action action : actions) actions_.at(count_++) = action;
  }
  [[nodiscard]] constexpr const Action* begin() const { return actions_.data(); }
  [[nodiscard]] constexpr const Action* end() const { return actions_.data() + count_; }
  [[nodiscard]] constexpr std::size_t size() const { return count_; }
  /// These without the one at `index`.
  [[nodiscard]] constexpr Actions without(std::size_t index) const {
    Actions rest;
    for (std::size_t at = 0; at < count_; ++at) {
      if (at != index) rest.actions_.at(rest.count_++) = actions_.at(at);
    }
    return rest;
  }
  /// These, then those: of a frame out of turn, which closes the link and is a loss of it.
  [[nodiscard]] constexpr Actions then(const Actions& more) const {
    Actions all = *this;
    for (const Action action : more) all.actions_.at(all.count_++) = action;
    return all;
  }

 private:
  std::array<Action, kMost + 1> actions_{};
  std::uint8_t count_ = 0;
};

}  // namespace migration::handover
