#include "migration/forecast/guest_sample.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "migration/forecast/write_rates.hpp"
#include "migration/model/writer.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration::forecast {

namespace {

using Kind = ContentSample::Kind;

/// A guest of more pages (256 MiB) is thinned: a run of the model takes a fraction of a second.
constexpr std::uint64_t kMostPages = std::uint64_t{1} << 16;
/// Pages that stay together.
constexpr std::uint64_t kStretch = 64;
/// Of RAM: what its pages do is found out for each part of it, and then for each neighbourhood.
constexpr std::size_t kParts = 16;
/// The neighbourhood of a page has as many pages that were watched, at least.
constexpr std::size_t kEnough = 16;

/// Of the n-th page of the profile.
std::uint64_t page_of(std::uint64_t n, std::uint64_t scale) {
  return n / kStretch * kStretch * scale + n % kStretch;
}

bool is_data(Kind kind) { return kind == Kind::random || kind == Kind::shrinking; }

/// One kind of pages: those that are zero, or the others. A guest writes to either as it does.
class Rates {
 public:
  Rates(const GuestSample& sample, bool data) : sample_(sample), data_(data) {
    WriteRates all;
    all.fit(seen(0, sample.writes.size()), sample.step_seconds);
    parts_.fill(all);
    for (std::size_t part = 0; part < kParts; ++part) {
      const std::size_t first = sample.writes.size() * part / kParts;
      const std::size_t end = sample.writes.size() * (part + 1) / kParts;
      parts_[part].fit(seen(first, end), sample.step_seconds);
    }
  }

  /// Of the pages around that of the sample.
  [[nodiscard]] WriteRates around(std::size_t place) const {
    const std::size_t per = WriteSample::kPlacePages;
    const std::size_t pages = sample_.writes.size();
    WriteRates rates = parts_[place * per * kParts / pages];
    for (std::size_t reach = 1;; reach *= 2) {
      const std::size_t first = (place - std::min(place, reach)) * per;
      const std::size_t end = std::min((place + 1 + reach) * per, pages);
      const std::vector<WriteSample::Seen> near = seen(first, end);
      if (near.size() < kEnough && end - first < pages) continue;
      rates.shift(near, sample_.step_seconds);
      return rates;
    }
  }

 private:
  [[nodiscard]] std::vector<WriteSample::Seen> seen(std::size_t first, std::size_t end) const {
    std::vector<WriteSample::Seen> pages;
    for (std::size_t i = first; i < end; ++i) {
      const WriteSample::Seen& page = sample_.writes[i];
      const bool watched = page.written + page.not_written > 0;
      if (watched && sample_.kinds[i] != Kind::untouched && is_data(sample_.kinds[i]) == data_) {
        pages.push_back(page);
      }
    }
    return pages;
  }

  const GuestSample& sample_;
  const bool data_;
  std::array<WriteRates, kParts> parts_;
};

/// Says what a page that was not looked at is like.
class Neighbourhoods {
 public:
  Neighbourhoods(const GuestSample& sample, double shrunk_bytes)
      : sample_(sample), shrunk_bytes_(shrunk_bytes), zeros_(sample, false), data_(sample, true) {
    for (std::size_t i = 0; i < sample.kinds.size(); ++i) {
      if (sample.kinds[i] != Kind::untouched) known_.push_back(i);
    }
  }

  /// Of a page that was touched. Pages have to come in order.
  [[nodiscard]] model::PageTraits of(vmm::PageIndex page) {
    model::PageTraits traits{.touched = true};
    if (known_.empty()) {
      traits.zero = true;
      return traits;
    }
    go_to(page);
    const Kind kind = sample_.kinds[like_[random_.below(like_.size())]];
    traits.zero = kind == Kind::zero;
    traits.bytes =
        static_cast<float>(kind == Kind::shrinking ? shrunk_bytes_ : double{vmm::kPageSize});
    const WriteRates& rates = is_data(kind) ? data_here_ : zeros_here_;
    traits.writes_per_second = static_cast<float>(rates.rate(random_.share()));
    return traits;
  }

 private:
  void go_to(vmm::PageIndex page) {
    const std::size_t places = sample_.writes.size() / WriteSample::kPlacePages;
    const auto place = static_cast<std::size_t>(page * places / sample_.touched.pages());
    if (place == place_ && !like_.empty()) return;
    place_ = place;
    zeros_here_ = zeros_.around(place);
    data_here_ = data_.around(place);
    like_.clear();
    const std::size_t first = place * WriteSample::kPlacePages;
    for (std::size_t i = first; i < first + WriteSample::kPlacePages; ++i) {
      if (sample_.kinds[i] != Kind::untouched) like_.push_back(i);
    }
    if (like_.empty()) like_ = known_;
  }

  const GuestSample& sample_;
  const double shrunk_bytes_;
  const Rates zeros_;
  const Rates data_;
  std::vector<std::size_t> known_;  ///< of the sample: what was touched
  model::Random random_{1};
  std::size_t place_ = 0;
  std::vector<std::size_t> like_;  ///< what pages here may be like
  WriteRates zeros_here_;
  WriteRates data_here_;
};

}  // namespace

std::uint64_t pages_for_one(std::uint64_t pages) { return (pages + kMostPages - 1) / kMostPages; }

vmm::PageSet thinned(const vmm::PageSet& pages) {
  const std::uint64_t scale = pages_for_one(pages.pages());
  vmm::PageSet thin(pages.pages() / scale);
  for (std::uint64_t n = 0; n < thin.pages(); ++n) {
    const vmm::PageIndex page = page_of(n, scale);
    if (page < pages.pages() && pages.test(page)) thin.set(n);
  }
  return thin;
}

model::Profile profile_of(const GuestSample& sample, double shrunk_bytes) {
  const std::uint64_t pages = sample.touched.pages();
  const std::uint64_t scale = pages_for_one(pages);
  model::Profile profile;
  profile.pages.resize(pages / scale);
  profile.scale = static_cast<double>(pages) / static_cast<double>(profile.pages.size());
  Neighbourhoods neighbourhoods(sample, shrunk_bytes);
  for (std::uint64_t n = 0; n < profile.pages.size(); ++n) {
    const vmm::PageIndex page = page_of(n, scale);
    if (page < pages && sample.touched.test(page)) profile.pages[n] = neighbourhoods.of(page);
  }
  return profile;
}

double pages_written(const model::Profile& profile, double seconds) {
  double pages = 0;
  for (const model::PageTraits& page : profile.pages) {
    if (page.touched) pages -= std::expm1(-double{page.writes_per_second} * seconds);
  }
  return pages * profile.scale;
}

}  // namespace migration::forecast
