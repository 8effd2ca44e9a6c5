#pragma once

#include <cstdint>
#include <vector>

#include "migration/model/guest.hpp"
#include "migration/model/profile.hpp"
#include "migration/model/writer.hpp"

namespace migration::model {

/// A guest that writes each page at a rate of its own, independently of the others. What matters of
/// that to a migration is when a page is written next after it was cleared: it is drawn then, and
/// no other write costs anything. So a second of 1 GiB costs as much whatever the guest writes in
/// it.
class RatedGuest final : public Guest {
 public:
  /// `profile` outlives it.
  RatedGuest(const Profile& profile, std::uint64_t seed);

  void run_until(double seconds, unsigned throttle) override;
  [[nodiscard]] std::uint64_t pages() const override { return next_write_.size(); }
  [[nodiscard]] std::uint32_t version(vmm::PageIndex page) const override {
    return versions_[page] + (written(page) ? 1 : 0);
  }
  [[nodiscard]] bool zero(vmm::PageIndex page) const override {
    return profile_.pages[page].zero && version(page) == 1;
  }
  [[nodiscard]] double page_bytes(vmm::PageIndex page) const override {
    return profile_.pages[page].bytes;
  }
  [[nodiscard]] std::uint64_t used() const override { return used_; }
  [[nodiscard]] vmm::PageSet log() const override;
  void clear(const vmm::PageSet& pages, vmm::PageRange range) override;
  void clear_touched(vmm::PageRange range, vmm::PageSet& touched) override;
  void watch_touches() override;
  [[nodiscard]] std::vector<vmm::PageIndex> take_touched() override;

 private:
  [[nodiscard]] bool written(vmm::PageIndex page) const {
    return armed_.test(page) && next_write_[page] <= clock_;
  }
  [[nodiscard]] double draw(vmm::PageIndex page);
  void clear(vmm::PageIndex page);

  const Profile& profile_;
  Random random_;
  std::vector<double> next_write_;  ///< by clock_, since the page was cleared
  std::vector<std::uint32_t> versions_;
  vmm::PageSet armed_;  ///< pages that were ever cleared; the others count as written
  std::uint64_t used_ = 0;
  double until_ = 0;  ///< seconds since its start,
  double clock_ = 0;  ///< of which it ran so many
  struct Touch {
    double when;
    vmm::PageIndex page;
  };
  std::vector<Touch> touches_;  ///< to come, the latest first
};

}  // namespace migration::model
