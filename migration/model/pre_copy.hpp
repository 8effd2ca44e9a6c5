#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "migration/base/report.hpp"
#include "migration/model/scenario.hpp"
#include "migration/policy/convergence.hpp"

namespace migration::model {

/// What became of a migration by pre-copy.
struct PreCopyOutcome {
  Why why = Why::fits;                  ///< pre-copy ended; if it was not switched
  std::optional<std::string> switched;  ///< to post-copy: why. Then `missing` pages are yet to come
  double predicted_downtime_seconds = 0;
  double downtime_seconds =
      0;                     ///< from the order to stop until the source knows that it runs there
  double total_seconds = 0;  ///< until then
  std::uint64_t wire_bytes = 0;
  std::uint64_t held_back = 0;      ///< pages
  std::uint64_t missing = 0;        ///< pages
  std::vector<RoundReport> rounds;  ///< with the one at the stop, if it was not switched

  // What the rules forbid: pages.
  std::uint64_t different = 0;  ///< neither missing nor as they are at the source
  std::uint64_t needless = 0;   ///< sent, though not written since they were last sent
};

/// Runs it, as `SourceMigration::Source` does: pre-copy and, where the driver says so, the stop.
/// Where it says that the rest is for post-copy, the run ends with the handover. The mode is
/// pre_copy, hybrid or automatic, and the destination can fetch pages.
[[nodiscard]] PreCopyOutcome run_pre_copy(const Scenario& scenario);

}  // namespace migration::model
