#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "migration/model/writer.hpp"
#include "migration/policy/hot_pages.hpp"

/// How well K of the last N tells what a guest writes next, with writers whose pages are of very
/// different popularity. The figures are printed: run with
/// --gtest_filter='*TellsWhatIsDirtiedNext*'.
namespace migration {
namespace {

constexpr std::uint64_t kSimulatedPages = 16'384;  // 64 MiB
constexpr unsigned kWrites = 4096;                 // a period; some dirty the same page
constexpr unsigned kPeriods = 64;
constexpr unsigned kAway = 16;  // periods: the least that the VM stays at the other host

/// The pages that the writer dirties in a period.
vmm::PageSet period(model::Writer& writer) {
  vmm::PageSet dirtied(kSimulatedPages);
  for (unsigned i = 0; i < kWrites; ++i) dirtied.set(writer.next());
  return dirtied;
}

struct Rates {
  double hot = 0;        ///< share of RAM that is taken for hot
  double precision = 0;  ///< of what is hot: dirtied in the next period
  double recall = 0;     ///< of what is dirtied in the next period: hot
  double lasting = 0;    ///< of what is hot: dirtied in the next kAway periods
};

Rates simulate(double exponent, unsigned k, unsigned n) {
  model::WritePattern pattern;
  pattern.where = model::WritePattern::Where::zipf;
  pattern.region = {0, kSimulatedPages};
  pattern.exponent = exponent;
  model::Writer writer(pattern, 1);
  std::vector<vmm::PageSet> periods;
  for (unsigned i = 0; i < kPeriods + kAway; ++i) periods.push_back(period(writer));
  HotPages predictor(kSimulatedPages, k, n);
  std::uint64_t hot = 0;
  std::uint64_t hit = 0;
  std::uint64_t later = 0;
  std::uint64_t dirtied = 0;
  unsigned predictions = 0;
  for (unsigned i = 0; i < kPeriods; ++i) {
    if (predictor.observations() == n) {
      ++predictions;
      const vmm::PageSet now = predictor.hot();
      vmm::PageSet right = now;
      right &= periods[i];
      vmm::PageSet away(kSimulatedPages);
      for (unsigned ahead = 0; ahead < kAway; ++ahead) away |= periods[i + ahead];
      away &= now;
      hot += now.count();
      hit += right.count();
      later += away.count();
      dirtied += periods[i].count();
    }
    predictor.observe(periods[i]);
  }
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  return {share(hot, predictions * kSimulatedPages), share(hit, hot), share(hit, dirtied),
          share(later, hot)};
}

struct Judged {
  unsigned k = 0;
  unsigned n = 0;
  Rates rates;
};

/// Of all (K, N) that are looked at, with one line of a table for each.
std::vector<Judged> judge(double exponent) {
  std::vector<Judged> result;
  for (const auto& [k, n] : {std::pair{1U, 1U},
                             {1U, 4U},
                             {2U, 3U},
                             {2U, 4U},
                             {3U, 4U},
                             {4U, 4U},
                             {4U, 8U},
                             {6U, 8U},
                             {8U, 8U}}) {
    const Rates rates = simulate(exponent, k, n);
    fmt::print("| {:.1f} | {} of {} | {:4.1f} % | {:.2f} | {:.2f} | {:.2f} |\n", exponent, k, n,
               rates.hot * 100, rates.precision, rates.recall, rates.lasting);
    result.push_back({k, n, rates});
  }
  return result;
}

const Rates& of(const std::vector<Judged>& judged, unsigned k, unsigned n) {
  const auto found =
      std::ranges::find_if(judged, [&](const Judged& one) { return one.k == k && one.n == n; });
  return found->rates;
}

class HotPagesSimulation : public testing::TestWithParam<double> {};

TEST_P(HotPagesSimulation, TellsWhatIsDirtiedNext) {
  fmt::print("| exponent | K of N | hot | precision | recall | dirtied within 16 |\n");
  const std::vector<Judged> judged = judge(GetParam());
  const Rates& usual = of(judged, HotPages::kDefaultK, HotPages::kDefaultN);
  EXPECT_GE(usual.precision, 0.55);
  EXPECT_GE(usual.recall, 0.15);
  // While the VM is away, hardly a page that was given up stays as it is.
  EXPECT_GE(usual.lasting, 0.98);
  // Better than to take what the last period dirtied for what the next will.
  EXPECT_GE(usual.precision, 1.8 * of(judged, 1, 1).precision);
  // A page taken at random is right as often as the guest dirties pages.
  EXPECT_GE(usual.precision, 3 * of(judged, 1, 1).hot);
}

TEST_P(HotPagesSimulation, GainsPrecisionAndLosesRecallWithK) {
  const std::vector<Judged> judged = judge(GetParam());
  for (unsigned k = 2; k <= 4; ++k) {
    EXPECT_GT(of(judged, k, 4).precision, of(judged, k - 1, 4).precision) << k;
    EXPECT_LT(of(judged, k, 4).recall, of(judged, k - 1, 4).recall) << k;
  }
}

INSTANTIATE_TEST_SUITE_P(Exponents, HotPagesSimulation, testing::Values(0.8, 1.0, 1.2),
                         [](const auto& with) {
                           return "Zipf" + std::to_string(std::lround(with.param * 10));
                         });

}  // namespace
}  // namespace migration
