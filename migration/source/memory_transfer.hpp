#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>

#include "migration/base/options.hpp"
#include "migration/policy/page_account.hpp"
#include "migration/source/journal.hpp"
#include "migration/source/link.hpp"
#include "migration/wire/format.hpp"
#include "vmm/machine/machine.hpp"

namespace migration::source {

/// What the parts of one migration work on; outlives them.
struct Parts {
  vmm::Machine& machine;
  const MigrateOptions& options;
  Link& link;
  Journal& journal;
  PageAccount& pages;

  /// Throws when the guest has ended: its end is not handed over.
  void check_guest() const;
  /// What the guest wrote, and what else must travel and no round has taken up.
  [[nodiscard]] vmm::PageSet take_to_send() const;
  /// Of the pages that the destination has: all that were ever touched but for the missing ones
  /// and those that were left out.
  boost::asio::awaitable<void> send_digests(const vmm::PageSet* missing) const;
};

/// How the RAM of a stopped guest gets over: what has to be done between the stop and `prepared`.
/// While the guest ran, and after the handover, each way has work of its own.
class MemoryTransfer {
 public:
  virtual ~MemoryTransfer() = default;
  MemoryTransfer() = default;
  MemoryTransfer(const MemoryTransfer&) = delete;
  MemoryTransfer& operator=(const MemoryTransfer&) = delete;

  /// The guest stands, and its state is saved: takes the rest of the pages. Returns how many of
  /// them go over within the stop.
  virtual std::uint64_t take_rest() = 0;
  /// Sends them. `all_told` is called when the destination has been told all but `last_word`.
  virtual boost::asio::awaitable<void> send_rest(const std::function<void()>& all_told) = 0;
  /// The frame after which the destination can be prepared, about the round that it names.
  struct LastWord {
    wire::FrameType type;
    std::uint32_t round;
  };
  [[nodiscard]] virtual LastWord last_word() const = 0;
  [[nodiscard]] virtual std::optional<Journal::UnderWay> under_way() const = 0;
};

}  // namespace migration::source
