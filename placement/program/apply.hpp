#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "placement/fleet.hpp"
#include "placement/plan.hpp"
#include "placement/program/children.hpp"

namespace placement {

/// A plan cannot be carried out with what the file names. Nothing has been begun.
class CannotApply : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A move as `ferry migrate` is to make it.
struct Errand {
  std::string api_socket;  ///< of the process with the VM
  std::string to;
};

/// One for each move: every one is given a receiver of its own at the host that it goes to, and a
/// VM that moves twice is asked for at the receiver that took it. CannotApply says what is missing,
/// no address to dial, or that of two processes.
[[nodiscard]] std::vector<Errand> errands_of(const Fleet& fleet, std::span<const Move> moves);

/// What became of a move.
struct Outcome {
  enum class Kind { moved, failed, not_begun };
  Kind kind = Kind::not_begun;
  std::string why;        ///< it failed
  nlohmann::json report;  ///< of `ferry migrate`, or null
};

[[nodiscard]] std::string_view to_string(Outcome::Kind kind);

/// As ChildRunner::run does.
using RunAtOnce = std::function<Ran(const std::vector<std::vector<std::string>>&)>;

struct Applied {
  std::vector<Outcome> outcomes;  ///< one for each move
  int signal = 0;                 ///< that came meanwhile
  [[nodiscard]] bool all_moved() const;
};

/// Carries the moves out by `ferry migrate`, step by step, up to the first step in which one fails
/// or a signal comes. `tell` is called after each move that was begun.
[[nodiscard]] Applied apply(const std::string& ferry, std::span<const Move> moves,
                            std::span<const Errand> errands, const RunAtOnce& run,
                            const std::function<void(const Move&, const Outcome&)>& tell);

/// Where each VM is after that; of one whose move failed, where it was before.
[[nodiscard]] std::vector<HostIndex> places_after(const Fleet& fleet, std::span<const Move> moves,
                                                  std::span<const Outcome> outcomes);

}  // namespace placement
