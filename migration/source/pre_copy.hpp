#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>

#include "migration/pages/round.hpp"
#include "migration/policy/pre_copy_driver.hpp"
#include "migration/source/drain.hpp"
#include "migration/source/free_page_run.hpp"
#include "migration/source/memory_transfer.hpp"

namespace migration::source {

/// Pre-copy at the source: rounds while the guest runs, as PreCopyDriver decides, and one of what
/// is left when it stands. Without the former it is stop-and-copy.
class PreCopy final : public MemoryTransfer {
 public:
  PreCopy(boost::asio::io_context& context, const Parts& parts);

  /// The rounds while the guest runs, until `drain` succeeds where the rest would go at the stop.
  /// Whether the rest is for post-copy, which the destination can do only if it `may_switch`. The
  /// first round leaves out the free pages.
  boost::asio::awaitable<bool> run(bool may_switch, Drain& drain);
  /// For any mode that copies to ask for, and to be over when the migration is.
  [[nodiscard]] FreePageRun& free_pages() { return free_pages_; }
  /// To be called every PreCopyDriver::kAskEvery: within a round, now and then, what the driver
  /// wants to know of the guest's writes.
  void look_at_writes();
  /// No round is under way any more, nor will be.
  void finish();
  void set_max_downtime(std::chrono::microseconds most) { driver_.set_max_downtime(most); }
  /// Bytes per second that the link has carried; 0: not yet known.
  [[nodiscard]] double link_rate() const { return driver_.link_rate(); }
  /// The number of the newest round; 0 before the first.
  [[nodiscard]] std::uint32_t round() const { return driver_.round(); }

  std::uint64_t take_rest() override;
  boost::asio::awaitable<void> send_rest(const std::function<void()>& all_told) override;
  [[nodiscard]] LastWord last_word() const override;
  [[nodiscard]] std::optional<Journal::UnderWay> under_way() const override;

 private:
  [[nodiscard]] std::shared_ptr<PreCopyRound> first_round(FreePages* free);
  boost::asio::awaitable<void> send_round(std::shared_ptr<PreCopyRound> round,
                                          PreCopyDriver::Kind kind);
  boost::asio::awaitable<Step> watch(vmm::PageSet& dirty);
  [[nodiscard]] PreCopyDriver::Next decide(const PreCopyRound& round, std::uint64_t dirty_pages);
  [[nodiscard]] PreCopyDriver::Sent sent() const;

  Parts parts_;
  FreePageRun free_pages_;
  PreCopyDriver driver_;
  boost::asio::steady_timer timer_;        ///< until what the guest writes is looked at
  std::shared_ptr<PreCopyRound> copying_;  ///< the round that is under way
  std::shared_ptr<PreCopyRound> rest_;     ///< the one at the stop
};

}  // namespace migration::source
