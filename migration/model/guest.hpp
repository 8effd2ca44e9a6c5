#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "migration/model/scenario.hpp"
#include "migration/model/writer.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration::model {

/// A guest that only writes pages, and the log of that, with the rules of vmm::DirtyLog. In place
/// of bytes a page has a version: 0 where nobody ever touched it, then 1, and one more when it was
/// written.
class Guest {
 public:
  Guest() = default;
  virtual ~Guest() = default;
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  /// Goes on to `seconds` after its start, slowed by `throttle` per cent.
  virtual void run_until(double seconds, unsigned throttle) = 0;

  [[nodiscard]] virtual std::uint64_t pages() const = 0;
  [[nodiscard]] virtual std::uint32_t version(vmm::PageIndex page) const = 0;
  [[nodiscard]] virtual bool zero(vmm::PageIndex page) const = 0;
  /// What it takes on the wire if it is not zero.
  [[nodiscard]] virtual double page_bytes(vmm::PageIndex page) const = 0;
  /// Pages that were ever touched.
  [[nodiscard]] virtual std::uint64_t used() const = 0;

  /// All that was written since it was last cleared; at first, everything.
  [[nodiscard]] virtual vmm::PageSet log() const = 0;
  virtual void clear(const vmm::PageSet& pages, vmm::PageRange range) = 0;
  /// Clears all of the range, and adds to `touched` what of it was ever touched.
  virtual void clear_touched(vmm::PageRange range, vmm::PageSet& touched) = 0;

  /// From now on `take_touched` tells what it writes for the first time from now on.
  virtual void watch_touches() = 0;
  /// Since the last call, in the order in which it did; a page may come more than once.
  [[nodiscard]] virtual std::vector<vmm::PageIndex> take_touched() = 0;
};

/// One that writes page after page, as a pattern says: exact, and as slow as it has writes.
class WritingGuest final : public Guest {
 public:
  WritingGuest(const GuestShape& shape, std::uint64_t seed);

  void run_until(double seconds, unsigned throttle) override;
  [[nodiscard]] std::uint64_t pages() const override { return versions_.size(); }
  [[nodiscard]] std::uint32_t version(vmm::PageIndex page) const override {
    return versions_[page];
  }
  [[nodiscard]] bool zero(vmm::PageIndex page) const override {
    return zero_[page] && versions_[page] == 1;
  }
  [[nodiscard]] double page_bytes(vmm::PageIndex /*page*/) const override { return page_bytes_; }
  [[nodiscard]] std::uint64_t used() const override { return touched_.count(); }
  [[nodiscard]] vmm::PageSet log() const override { return log_; }
  void clear(const vmm::PageSet& pages, vmm::PageRange range) override;
  void clear_touched(vmm::PageRange range, vmm::PageSet& touched) override;
  void watch_touches() override { watched_ = true; }
  [[nodiscard]] std::vector<vmm::PageIndex> take_touched() override;

 private:
  void write(vmm::PageIndex page);

  Writer writer_;
  double page_bytes_;
  std::vector<std::uint32_t> versions_;
  std::vector<bool> zero_;
  vmm::PageSet touched_;
  vmm::PageSet log_;
  double due_ = 0;   ///< writes by now, were it not slowed
  double owed_ = 0;  ///< the part of a write that is not done yet
  bool watched_ = false;
  std::vector<vmm::PageIndex> newly_written_;
};

/// The one that the scenario has.
[[nodiscard]] std::unique_ptr<Guest> make_guest(const Scenario& scenario);

}  // namespace migration::model
