#include "migration/forecast/write_rates.hpp"

#include <cmath>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace migration::forecast {

namespace {

/// Rates that a second hardly tells apart take long to sort out.
constexpr unsigned kToTheEnd = 1000;
constexpr unsigned kFewSteps = 4;

/// How likely it is at each rate to see that of a page.
WriteRates::Shares likelihoods(unsigned written, unsigned not_written, double step_seconds) {
  WriteRates::Shares likely{};
  for (std::size_t i = 0; i < likely.size(); ++i) {
    const double exponent = WriteRates::kRates[i] * step_seconds;
    likely[i] = std::pow(-std::expm1(-exponent), written) * std::exp(-exponent * not_written);
  }
  return likely;
}

}  // namespace

WriteRates::WriteRates() { shares_.fill(1.0 / static_cast<double>(shares_.size())); }

double WriteRates::rate(double random) const {
  for (std::size_t i = 0; i < shares_.size(); ++i) {
    random -= shares_[i];
    if (random < 0) return kRates[i];
  }
  return 0;
}

void WriteRates::fit(std::span<const WriteSample::Seen> seen, double step_seconds) {
  iterate(seen, step_seconds, kToTheEnd);
}

void WriteRates::shift(std::span<const WriteSample::Seen> seen, double step_seconds) {
  iterate(seen, step_seconds, kFewSteps);
}

void WriteRates::iterate(std::span<const WriteSample::Seen> seen, double step_seconds,
                         unsigned times) {
  std::map<std::pair<unsigned, unsigned>, double> alike;  // pages, by what was seen of them
  for (const WriteSample::Seen& page : seen) {
    if (page.written + page.not_written > 0) ++alike[{page.written, page.not_written}];
  }
  if (alike.empty()) return;
  std::vector<std::pair<double, Shares>> groups;
  double pages = 0;
  for (const auto& [what, count] : alike) {
    groups.emplace_back(count, likelihoods(what.first, what.second, step_seconds));
    pages += count;
  }
  for (unsigned i = 0; i < times; ++i) {
    Shares next{};
    for (const auto& [count, likely] : groups) {
      double sum = 0;
      for (std::size_t rate = 0; rate < next.size(); ++rate) sum += shares_[rate] * likely[rate];
      if (sum <= 0) return;  // nothing that is known explains it
      for (std::size_t rate = 0; rate < next.size(); ++rate) {
        next[rate] += count * shares_[rate] * likely[rate] / (sum * pages);
      }
    }
    shares_ = next;
  }
}

}  // namespace migration::forecast
