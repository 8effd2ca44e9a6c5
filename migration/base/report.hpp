#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace migration {

enum class Outcome { running, completed, cancelled, failed, in_doubt };

/// One round of pre-copy, or the last pages at the stop.
struct RoundReport {
  std::uint64_t pages = 0;       ///< sent in this round, in whatever form
  std::uint64_t wire_bytes = 0;  ///< written to the sockets for it
  double duration_ms = 0;        ///< from its first page until the peer said that all landed
  std::uint64_t dirtied = 0;     ///< pages the guest wrote meanwhile
  unsigned throttle = 0;         ///< per cent by which the guest was slowed
};

/// The migration report: the one that `ferry migrate --json` prints, and, while a migration runs,
/// that `ferry info --json` carries under "migration". docs/report.md explains every field.
struct MigrationReport {
  Outcome outcome = Outcome::running;
  std::optional<std::string> error;
  std::string mode;
  std::optional<std::string> switched;  ///< to post-copy: why
  std::string transport;
  std::string phase;    ///< what goes on now, for people: "round 3", "stopped", "in doubt"
  double progress = 0;  ///< per cent of the pages that have to travel; 100 once it is completed
  std::optional<double> left_ms;  ///< until the end, by what is known; none while nobody knows
  double total_ms = 0;
  double downtime_ms = 0;
  std::uint64_t wire_bytes = 0;
  std::uint64_t wire_bytes_back = 0;
  unsigned channels = 0;  ///< that sent pages at a time, at most
  struct Pages {
    std::uint64_t total = 0, unpopulated = 0, zero = 0, raw = 0, compressed = 0, resent = 0;
    std::uint64_t zstd = 0;         ///< of the compressed ones, by Zstandard
    std::uint64_t delta = 0;        ///< sent as the difference from what was sent before
    std::uint64_t held_back = 0;    ///< by the first round, as the guest kept writing them
    std::uint64_t free = 0;         ///< never sent: the guest does without them
    std::uint64_t demand = 0;       ///< sent since a vCPU waited for them
    std::uint64_t pushed = 0;       ///< sent after the handover without being asked for
    std::uint64_t reused = 0;       ///< not sent: the destination had them from an earlier stay
    std::uint64_t duplicate = 0;    ///< sent as a reference: it had their content elsewhere
    std::uint64_t handed_over = 0;  ///< not sent: the memory itself went over, within a host
  } pages;
  struct Saved {
    std::uint64_t delta = 0, duplicate = 0;
  } saved;                              ///< bytes: the pages less what went for them
  std::uint64_t delta_cache_bytes = 0;  ///< that the source has kept for deltas
  std::vector<RoundReport> rounds;
  /// For the guest to write less, when a stop would have fitted. The downtimes are predictions.
  struct StopWait {
    double ms = 0;
    double first_downtime_ms = 0;  ///< of the first stop that would have fitted
    double downtime_ms = 0;        ///< of the one that came
  };
  std::optional<StopWait> stop_wait;
  struct Faults {
    std::uint64_t count = 0;
    double p50_us = 0, p99_us = 0, max_us = 0;
  } faults;  ///< waits for a page that was missing, as the destination saw them
  struct Phases {
    double drain = 0, stop = 0, last_pages = 0, state = 0, restore = 0, commit = 0, verify = 0;
  } phases_ms;
  struct KeptImage {
    std::uint64_t pages = 0, bytes = 0;
    std::optional<std::string> error = std::nullopt;  ///< why it was not kept, though asked for
  } kept_image;                                       ///< of this VM, at the source
  std::optional<bool> verified;
  double cpu_seconds_source = 0, cpu_seconds_destination = 0;
  std::uint64_t peak_rss_source = 0, peak_rss_destination = 0;
  /// Who owns the VM now and what to do, in a sentence or two: for people.
  std::string owner;
};

[[nodiscard]] nlohmann::json to_json(const MigrationReport& report);
/// nlohmann::json::exception or std::invalid_argument when it is no report.
[[nodiscard]] MigrationReport report_from_json(const nlohmann::json& json);
[[nodiscard]] std::string_view to_string(Outcome outcome);

}  // namespace migration
