#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "migration/model/run.hpp"

namespace migration::model {
namespace {

/// 128 MiB over 37.5 MB/s, 50 ms allowed. While the guest is busy it writes a part of its RAM that
/// takes 28 ms on the link, many times over.
Scenario bursts(double busy, double quiet) {
  Scenario with;
  with.link.bytes_per_second = 37.5e6;
  with.link.latency_seconds = 0.1e-3;
  with.guest.pages = 32'768;
  with.guest.writes.region = {16'000, 256};
  with.guest.writes.per_second = 50'000;
  with.guest.writes.busy_seconds = busy;
  with.guest.writes.quiet_seconds = quiet;
  with.settings.mode = Mode::pre_copy;
  return with;
}

/// Of migrations that begin at moments spread over 1.7 s of the guest.
struct Figures {
  double mean_downtime_ms = 0;
  double worst_downtime_ms = 0;
  double total_seconds = 0;  ///< the mean
  double wire_mib = 0;       ///< the mean
  unsigned wrong = 0;        ///< migrations that broke a rule
  unsigned too_long = 0;     ///< that stopped though the rest did not fit, or became post-copy
};

Figures figures(Scenario with, StopPolicy policy) {
  constexpr int kRuns = 8;
  with.settings.stop_policy = policy;
  Figures figures;
  for (int run = 0; run < kRuns; ++run) {
    with.hosts.begin_seconds = 0.21 * run;
    const Outcome outcome = model::run(with);
    const double downtime = 1000 * outcome.downtime_seconds;
    figures.mean_downtime_ms += downtime / kRuns;
    figures.worst_downtime_ms = std::max(figures.worst_downtime_ms, downtime);
    figures.total_seconds += (outcome.total_seconds - with.hosts.begin_seconds) / kRuns;
    figures.wire_mib += static_cast<double>(outcome.wire_bytes) / (1 << 20) / kRuns;
    if (outcome.different + outcome.needless > 0) ++figures.wrong;
    if (outcome.why != Why::fits || outcome.switched) ++figures.too_long;
  }
  return figures;
}

struct Pair {
  Figures first_fit, density;
};

Pair both(const std::string& guest, const Scenario& with) {
  const Pair pair{figures(with, StopPolicy::first_fit), figures(with, StopPolicy::density)};
  const auto row = [&](const char* policy, const Figures& it) {
    fmt::print(
        "{:<28} {:<10} downtime {:5.1f} ms, at worst {:5.1f}; total {:5.2f} s, {:6.1f} MiB\n",
        guest, policy, it.mean_downtime_ms, it.worst_downtime_ms, it.total_seconds, it.wire_mib);
  };
  row("first-fit", pair.first_fit);
  row("density", pair.density);
  EXPECT_EQ(pair.first_fit.wrong, 0U);
  EXPECT_EQ(pair.density.wrong, 0U);
  EXPECT_LE(pair.density.too_long, pair.first_fit.too_long);
  return pair;
}

TEST(ModelStopPolicy, StopsAGuestThatWritesByBurstsBetweenTwoOfThem) {
  struct Duty {
    const char* name;
    double busy, quiet;
  };
  for (const Duty& duty :
       {Duty{"100 ms busy, 100 quiet", 0.1, 0.1}, Duty{"100 ms busy, 300 quiet", 0.1, 0.3},
        Duty{"200 ms busy, 200 quiet", 0.2, 0.2}, Duty{"300 ms busy, 100 quiet", 0.3, 0.1},
        Duty{"350 ms busy, 50 quiet", 0.35, 0.05}}) {
    SCOPED_TRACE(duty.name);
    const Pair pair = both(duty.name, bursts(duty.busy, duty.quiet));
    EXPECT_LE(pair.density.mean_downtime_ms, 0.35 * pair.first_fit.mean_downtime_ms);
    EXPECT_LE(pair.density.worst_downtime_ms, 4);
    EXPECT_LE(pair.density.total_seconds, 1.06 * pair.first_fit.total_seconds);
    EXPECT_LE(pair.density.wire_mib, 1.02 * pair.first_fit.wire_mib);
  }
}

/// Bursts that are longer than what it may wait.
TEST(ModelStopPolicy, WaitsForABoundedTime) {
  const Pair pair = both("1 s busy, 1 s quiet", bursts(1, 1));
  EXPECT_LE(pair.density.mean_downtime_ms, 0.8 * pair.first_fit.mean_downtime_ms);
  EXPECT_LE(pair.density.worst_downtime_ms, pair.first_fit.worst_downtime_ms + 1);
  EXPECT_LE(pair.density.total_seconds, 1.13 * pair.first_fit.total_seconds);
}

TEST(ModelStopPolicy, IsNoWorseForAGuestThatWritesAllTheTime) {
  const auto no_worse = [](const std::string& name, const Scenario& with, double more_time) {
    SCOPED_TRACE(name);
    const Pair pair = both(name, with);
    EXPECT_LE(pair.density.mean_downtime_ms, pair.first_fit.mean_downtime_ms + 0.5);
    EXPECT_LE(pair.density.worst_downtime_ms, pair.first_fit.worst_downtime_ms + 0.5);
    EXPECT_LE(pair.density.total_seconds, more_time * pair.first_fit.total_seconds);
    EXPECT_LE(pair.density.wire_mib, 1.02 * pair.first_fit.wire_mib);
  };
  Scenario idle = bursts(1, 0);
  idle.guest.writes.per_second = 0;
  no_worse("idle", idle, 1);
  // It may be one that writes by bursts, until it was watched.
  no_worse("the same 256 pages", bursts(1, 0), 1.13);
  for (const double rate : {0.3, 0.6, 0.8}) {
    Scenario sweep = bursts(1, 0);
    sweep.guest.writes.where = WritePattern::Where::sweep;
    sweep.guest.writes.region = {0, 32'768};
    sweep.guest.writes.per_second = rate * 37.5e6 / 4096;
    no_worse(fmt::format("sweep at {} of the link", rate), sweep, 1.02);
  }
  Scenario hot = bursts(1, 0);
  hot.guest.writes.where = WritePattern::Where::zipf;
  hot.guest.writes.region = {0, 32'768};
  hot.guest.writes.per_second = 5'000;
  no_worse("zipf, 5000 a second", hot, 1.05);
}

/// It does not wait for a stop that is shorter until none fits.
TEST(ModelStopPolicy, GivesNoStopAwayToABurstThatFitsNoDowntime) {
  Scenario with = bursts(0.2, 0.6);
  with.guest.writes.region = {0, 8'192};
  const Pair pair = both("32 MiB, 0.2 s busy, 0.6 quiet", with);
  EXPECT_LE(pair.density.mean_downtime_ms, pair.first_fit.mean_downtime_ms);
  EXPECT_LE(pair.density.worst_downtime_ms, pair.first_fit.worst_downtime_ms);
  with.settings.mode = Mode::automatic;
  (void)both("the same, auto", with);
}

}  // namespace
}  // namespace migration::model
