#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "migration/base/report.hpp"
#include "migration/model/scenario.hpp"
#include "migration/policy/convergence.hpp"

namespace migration::model {

/// What became of a migration.
struct Outcome {
  Why why = Why::fits;                  ///< pre-copy ended; if it was not switched
  std::optional<std::string> switched;  ///< to post-copy: why
  /// Pre-copy stopped as the rest fits, or the mode needs no such thing.
  bool converges = false;
  double predicted_downtime_seconds = 0;  ///< by the driver, when it decided to stop
  /// From the order to stop until the source knows that it runs there.
  double downtime_seconds = 0;
  double handover_seconds = 0;  ///< from the request until then
  double total_seconds = 0;     ///< until every page is there
  std::uint64_t wire_bytes = 0;
  std::vector<RoundReport> rounds;  ///< of pre-copy, with the one at the stop
  std::uint64_t held_back = 0;      ///< pages
  std::uint64_t missing = 0;        ///< pages, at the handover
  std::uint64_t demand = 0;         ///< of these: the guest waited for them,
  double waited_seconds = 0;        ///< for so long
  std::uint64_t pushed = 0;         ///< the others of these, but for those never touched

  // What the rules forbid: pages.
  std::uint64_t different = 0;  ///< at the handover, neither missing nor as they are at the source
  std::uint64_t needless = 0;   ///< sent, though not written since they were last sent
};

/// What `run` throws when it is told to stop.
class Stopped : public std::runtime_error {
 public:
  Stopped() : std::runtime_error("the model was told to stop") {}
};

/// Runs it, as the source and the destination do. `scenario.settings.mode` says which; the
/// destination can fetch pages. Where it has an image of the VM, `scenario.changed` says what
/// differs from that. It ends early, with Stopped, once `stop` asks for that.
[[nodiscard]] Outcome run(const Scenario& scenario, const std::stop_token& stop = {});

}  // namespace migration::model
