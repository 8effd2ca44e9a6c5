#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>

#include "migration/postcopy/page_server.hpp"
#include "migration/source/memory_transfer.hpp"
#include "migration/wire/messages.hpp"

namespace migration::source {

/// Post-copy at the source: the destination is told which pages it lacks, and is sent them once the
/// VM runs there. A link that is lost meanwhile is taken up again.
class PostCopy final : public MemoryTransfer {
 public:
  /// After so many rounds of pre-copy.
  PostCopy(const Parts& parts, std::uint32_t rounds) : parts_(parts), rounds_(rounds) {}

  /// All that can be done while the guest still runs. What is dirty now will be missing whatever it
  /// does until it stops; the destination drops it meanwhile, which takes longer than telling.
  boost::asio::awaitable<void> prepare();

  std::uint64_t take_rest() override;
  boost::asio::awaitable<void> send_rest(const std::function<void()>& all_told) override;
  [[nodiscard]] LastWord last_word() const override;
  [[nodiscard]] std::optional<Journal::UnderWay> under_way() const override;

  // Once the VM runs there.
  /// All channels push what is missing, as the round of that number.
  void push(std::uint32_t round);
  /// The link is taken up, and the destination has told that it lacks these: what was on its way
  /// when the link broke is so sent again.
  boost::asio::awaitable<void> take_up(const vmm::PageSet& missing);
  /// Channels that wait for pages to be asked for wait no longer.
  void hang_up();
  void set(Prepaging prepaging);

  /// What was served so far, for the report.
  void count(MigrationReport& report) const;
  /// Bytes over fault connections.
  [[nodiscard]] std::uint64_t bytes_sent() const { return server_ ? server_->bytes_sent() : 0; }

 private:
  void make_server(vmm::AtomicPageSet missing);
  void tell_missing(const vmm::PageSet& missing);
  void serve_faults();

  Parts parts_;
  std::uint32_t rounds_;
  vmm::PageSet told_missing_;                 ///< from the stop on: all that is missing
  std::optional<std::uint64_t> handed_over_;  ///< pages that were missing; none: all that are used
  std::uint64_t resent_before_ = 0;           ///< pages that the rest has and that travelled before
  std::optional<net::Socket> faults_;         ///< until there is a server
  std::unique_ptr<PageServer> server_;
};

}  // namespace migration::source
