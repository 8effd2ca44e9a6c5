#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "migration/base/options.hpp"
#include "migration/forecast/energy.hpp"
#include "migration/forecast/guest_sample.hpp"
#include "migration/model/run.hpp"

namespace migration::forecast {

/// The link that the migration would have.
struct LinkEstimate {
  double bytes_per_second = 0;
  double latency_seconds = 0;  ///< one way
  std::uint64_t cap = 0;       ///< bytes per second that are asked for; 0: no cap
};

/// One way to migrate, and what would come of it.
struct ModeForecast {
  Mode mode = Mode::pre_copy;
  bool returns = false;  ///< to the host that keeps an image of the VM, by pre-copy
  bool converges = false;
  double total_ms = 0;
  double downtime_ms = 0;
  double least_downtime_ms = 0;  ///< nine of ten stops are as long as this at least,
  double most_downtime_ms = 0;   ///< and as this at most
  std::uint64_t wire_bytes = 0;
  std::uint64_t rounds = 0;
  std::uint64_t demand = 0;  ///< pages that the guest waits for, of those that it writes
  double joules = 0;
};

struct Forecast {
  double bandwidth = 0;  ///< bytes per second
  double latency_ms = 0;
  std::vector<ModeForecast> modes;
  double dirty_pages_per_second = 0;  ///< different ones
  double working_set_pages = 0;       ///< that are written within kWorkingSetSeconds
  std::uint64_t used_pages = 0;
  double zero_share = 0;       ///< of the pages that were ever touched
  double duplicate_share = 0;  ///< of those that are not zero
  double shrunk_share = 1;     ///< of a page's bytes, where it is compressed
  bool compressed = false;     ///< pages would be, where they shrink
  Mode choice = Mode::pre_copy;
  std::string why;  ///< for people
  Energy energy;
};

inline constexpr double kWorkingSetSeconds = 10;
/// Of more rounds than this not more are played.
inline constexpr unsigned kMostRounds = 100;

/// What each mode would do. `options` are those of a migration, of which its mode and where to are
/// not asked. Takes a second or so of a processor, and half a minute where the link is so slow
/// that all pages take it an hour. std::invalid_argument for a slower one. It ends early, with
/// model::Stopped, once `stop` asks for that.
[[nodiscard]] Forecast forecast(const GuestSample& sample, const LinkEstimate& link,
                                const MigrateOptions& options, unsigned cpus, const Energy& energy,
                                const std::stop_token& stop = {});

}  // namespace migration::forecast
