#include "migration/forecast/forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "migration/forecast/packing_choice.hpp"
#include "migration/policy/delta_policy.hpp"
#include "migration/wire/format.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration::forecast {

namespace {

using Kind = ContentSample::Kind;

constexpr std::array kModes{Mode::pre_copy, Mode::post_copy, Mode::hybrid, Mode::automatic};
/// Runs of the model, each with other random numbers; one where each takes long.
constexpr std::uint64_t kRuns = 3;
constexpr double kLongRun = 300;  // seconds that the link needs for all pages
/// A run of the model takes longer the slower the link is.
constexpr double kLongestRun = 3600;
constexpr double kStateBytesPerCpu = 16.0 * 1024;

// Of the hosts, fitted to migrations between two processes of one machine
// (docs/decisions/0033-prediction.md).
constexpr model::Hosts kHosts{.begin_seconds = 0.010,
                              .round_seconds = 0.0005,
                              .page_seconds = 0.3e-6,
                              .data_seconds = 1.0e-6,
                              .pause_seconds = 0.2e-3,
                              .save_seconds = 0.5e-3,
                              .restore_seconds = 1.5e-3,
                              .switch_seconds = 0.002,
                              .fault_seconds = 100e-6};
/// At the switch of hybrid and auto the destination gives up each page that is missing.
constexpr double kMissingSeconds = 0.5e-6;
/// Of a page that goes as its difference, besides that.
constexpr double kDeltaBytes = wire::kRangeBytes + wire::kDeltaHeadBytes;
/// Those who push go behind all others: so much of their speed is left to pack pages.
constexpr double kPackAside = 0.6;
/// What does not depend on the pages of the stop takes from so many times to so many times as long.
constexpr double kLeastFixed = 0.4;
constexpr double kMostFixed = 5;
/// And the pages, whose number and rate are not known exactly.
constexpr double kLeastOfPages = 0.6;
constexpr double kMostOfPages = 1.6;

/// Of the pages that were ever touched.
struct Shares {
  double zero = 0;
  double shrinking = 0;  ///< of those that are not zero
};

Shares shares_of(const GuestSample& sample) {
  const auto count = [&](Kind kind) {
    return static_cast<double>(std::ranges::count(sample.kinds, kind));
  };
  const double zero = count(Kind::zero);
  const double shrinking = count(Kind::shrinking);
  const double data = shrinking + count(Kind::random);
  return {zero / std::max(1.0, zero + data), shrinking / std::max(1.0, data)};
}

/// How many it will be where nobody says is found as it runs: more than one where that is quicker.
unsigned channels_of(const MigrateOptions& options) { return options.channels.value_or(1); }

/// One of those: `speed` is the share of that of packing which is left to it.
Sending sending_of(const LinkEstimate& link, const MigrateOptions& options, double speed) {
  const unsigned channels = channels_of(options);
  return {link.bytes_per_second / channels, static_cast<double>(link.cap) / channels, speed};
}

double rate_of(const LinkEstimate& link) {
  if (link.cap == 0) return link.bytes_per_second;
  return std::min(link.bytes_per_second, static_cast<double>(link.cap));
}

/// As a sender decides that has made some.
bool would_send_deltas(const GuestSample& sample, const LinkEstimate& link,
                       const MigrateOptions& options) {
  if (sample.delta_bytes == 0 || options.compression == Compression::none) return false;
  constexpr double kPages = 16384;
  DeltaPolicy policy;
  policy.tried(kPages * vmm::kPageSize, kPages * sample.delta_bytes, kPages * sample.delta_seconds);
  return policy.pays(rate_of(link) / channels_of(options));
}

model::Scenario scenario_of(const GuestSample& sample, const LinkEstimate& link,
                            const MigrateOptions& options, unsigned cpus,
                            const std::optional<Packing>& packing, double shrinking) {
  model::Scenario with;
  auto profile = std::make_shared<model::Profile>(
      profile_of(sample, packing ? packing->page_bytes : vmm::kPageSize));
  const double scale = profile->scale;
  with.guest.pages = profile->pages.size();
  with.guest.state_bytes = kStateBytesPerCpu * cpus / scale;
  with.profile = std::move(profile);
  // Where one page stands for several, the link is so much slower.
  with.link.bytes_per_second = link.bytes_per_second / scale;
  with.link.latency_seconds = link.latency_seconds;
  if (link.cap != 0) {
    with.link.cap = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(static_cast<double>(link.cap) / scale));
  }
  with.hosts = kHosts;
  if (packing) with.hosts.data_seconds += shrinking * vmm::kPageSize / packing->rate;
  if (would_send_deltas(sample, link, options)) {
    const std::uint64_t ram = sample.touched.pages() * vmm::kPageSize;
    const std::uint64_t bases = delta_cache_bytes(options, ram) / vmm::kPageSize;
    with.deltas = {.bases = static_cast<std::uint64_t>(static_cast<double>(bases) / scale),
                   .page_bytes = kDeltaBytes + sample.delta_bytes};
    with.hosts.delta_seconds = sample.delta_seconds;
  }
  // Channels share what the hosts do, if there are processors for that.
  with.hosts.page_seconds *= scale / channels_of(options);
  with.hosts.data_seconds *= scale / channels_of(options);
  with.hosts.delta_seconds *= scale / channels_of(options);
  with.settings = {.max_downtime = options.max_downtime,
                   .max_rounds = std::min(options.max_rounds, kMostRounds),
                   .hot_last = options.hot_last,
                   .throttle = options.throttle,
                   .stop_policy = options.stop_policy};
  // Without any the rest comes when the guest touches it, if ever.
  with.prepaging = options.prepaging == Prepaging::none ? Prepaging::bubbling : options.prepaging;
  with.chunk = std::max<std::uint64_t>(
      64, static_cast<std::uint64_t>(RoundPages::kChunkPages / scale) / 64 * 64);
  return with;
}

/// The middle one of some runs, and what all of them make likely.
ModeForecast forecast_of(Mode mode, model::Scenario with, std::uint64_t runs, const Energy& energy,
                         const std::stop_token& stop) {
  with.settings.mode = mode;
  std::vector<model::Outcome> outcomes;
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    with.seed = seed;
    outcomes.push_back(model::run(with, stop));
  }
  std::ranges::sort(outcomes, {}, &model::Outcome::downtime_seconds);
  const model::Hosts& hosts = with.hosts;
  const double fixed = hosts.pause_seconds + hosts.save_seconds + hosts.restore_seconds +
                       2 * with.link.latency_seconds;
  const double scale = with.profile->scale;
  // What the pages add to the stop.
  const auto pages = [&](const model::Outcome& outcome) {
    const double given_up =
        outcome.rounds.empty() ? 0 : static_cast<double>(outcome.missing) * scale * kMissingSeconds;
    return std::max(0.0, outcome.downtime_seconds - fixed) + given_up;
  };
  const model::Outcome& middle = outcomes[outcomes.size() / 2];
  ModeForecast forecast{
      .mode = mode,
      .converges = middle.converges,
      .total_ms = 1000 * middle.total_seconds,
      .downtime_ms = 1000 * (fixed + pages(middle)),
      .least_downtime_ms = 1000 * (kLeastFixed * fixed + kLeastOfPages * pages(outcomes.front())),
      .most_downtime_ms = 1000 * (kMostFixed * fixed + kMostOfPages * pages(outcomes.back())),
      .wire_bytes = static_cast<std::uint64_t>(static_cast<double>(middle.wire_bytes) * scale),
      .rounds = middle.rounds.size(),
      .demand = static_cast<std::uint64_t>(static_cast<double>(middle.demand) * scale)};
  forecast.joules = energy.of(forecast.wire_bytes);
  return forecast;
}

const ModeForecast& of(const std::vector<ModeForecast>& modes, Mode mode) {
  return *std::ranges::find(modes, mode, &ModeForecast::mode);
}

std::uint64_t runs_of(const GuestSample& sample, const LinkEstimate& link) {
  const double seconds =
      static_cast<double>(sample.touched.count()) * vmm::kPageSize / rate_of(link);
  if (seconds > kLongestRun) {
    throw std::invalid_argument(fmt::format(
        "the link would take {:.0f} minutes for the pages that the VM uses, and more than "
        "{:.0f} are not predicted",
        seconds / 60, kLongestRun / 60));
  }
  return seconds > kLongRun ? 1 : kRuns;
}

void choose(Forecast& forecast, const MigrateOptions& options) {
  const double most = std::chrono::duration<double, std::milli>(options.max_downtime).count();
  const ModeForecast& pre_copy = of(forecast.modes, Mode::pre_copy);
  if (pre_copy.converges) {
    forecast.choice = Mode::pre_copy;
    forecast.why =
        fmt::format("the rest fits {:.3g} ms after {} round{}, and the guest waits for no page",
                    most, pre_copy.rounds - 1, pre_copy.rounds == 2 ? "" : "s");
    return;
  }
  // Each of the others ends whatever the guest writes.
  forecast.choice = std::ranges::min(std::array{Mode::automatic, Mode::hybrid, Mode::post_copy}, {},
                                     [&](Mode mode) { return of(forecast.modes, mode).total_ms; });
  forecast.why = fmt::format(
      "pre-copy would stop the guest for {:.3g} ms, not {:.3g}; of the modes that do not depend on "
      "what it writes this one is done first",
      pre_copy.downtime_ms, most);
}

}  // namespace

Forecast forecast(const GuestSample& sample, const LinkEstimate& link,
                  const MigrateOptions& options, unsigned cpus, const Energy& energy,
                  const std::stop_token& stop) {
  const std::uint64_t runs = runs_of(sample, link);
  const Shares shares = shares_of(sample);
  Forecast result;
  result.latency_ms = 1000 * link.latency_seconds;
  result.used_pages = sample.touched.count();
  result.zero_share = shares.zero;
  result.duplicate_share = sample.duplicates;
  const auto packing_at = [&](double speed) {
    return packing_for(sample, shares.shrinking, sending_of(link, options, speed),
                       options.compression);
  };
  const auto packing = packing_at(1);
  result.shrunk_share = packing.value_or(sample.lz4).page_bytes / vmm::kPageSize;
  result.compressed = packing.has_value();
  result.energy = energy;
  result.bandwidth = rate_of(link);
  model::Scenario with = scenario_of(sample, link, options, cpus, packing, shares.shrinking);
  result.dirty_pages_per_second = pages_written(*with.profile, 1);
  result.working_set_pages = pages_written(*with.profile, kWorkingSetSeconds);
  const model::Scenario aside =
      scenario_of(sample, link, options, cpus, packing_at(kPackAside), shares.shrinking);
  for (const Mode mode : kModes) {
    result.modes.push_back(
        forecast_of(mode, mode == Mode::post_copy ? aside : with, runs, energy, stop));
  }
  choose(result, options);
  if (sample.changed) {
    with.changed = thinned(*sample.changed);
    result.modes.push_back(forecast_of(Mode::pre_copy, std::move(with), runs, energy, stop));
    result.modes.back().returns = true;
  }
  return result;
}

}  // namespace migration::forecast
