#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <vector>

#include "migration/base/options.hpp"
#include "migration/base/page_hash.hpp"
#include "migration/reuse/copy_plan.hpp"
#include "migration/source/memory_transfer.hpp"
#include "migration/wire/messages.hpp"

namespace migration {

/// Memory reuse at the source, before the first round: which pages the destination still has from
/// an earlier stay of the VM there.
class Comparison {
 public:
  struct Found {
    vmm::PageSet same;       ///< there as they are here
    vmm::PageSet copied;     ///< made there from others
    vmm::PageSet must_send;  ///< must travel, though the dirty log may not name them
  };

  explicit Comparison(const source::Parts& parts) : parts_(parts) {}

  /// Which pages are in use when the VM is offered: for compare(), while the destination checks the
  /// image that it may have. The dirty log runs, so that it names what is touched from now on.
  void look_at_ram();
  /// Takes the list of what the destination holds. `since`: it was told of that handover.
  boost::asio::awaitable<void> learn(const wire::Accept& accept, bool since);
  /// Whether it holds anything.
  [[nodiscard]] bool holds_any() const { return image_.has_value(); }
  /// From now on the dirty log tells what changes. `since`: what has changed since the handover
  /// by which the VM came, besides what is in the log.
  boost::asio::awaitable<Found> compare(const vmm::PageSet* since);

 private:
  /// What the destination holds of the VM's earlier stay there.
  struct Image {
    Reuse by{};
    HashKey key{};
    vmm::PageSet held;
    std::vector<PageHash> hashes;  ///< by content: of the pages held, in order
  };

  boost::asio::awaitable<Found> compare_changed(const vmm::PageSet& since);
  boost::asio::awaitable<void> ask_for_same(const vmm::PageSet& here, Found& found);
  boost::asio::awaitable<Found> compare_content();
  boost::asio::awaitable<void> send_copies(const CopyPlan& plan, vmm::PageSet& copied);

  source::Parts parts_;
  vmm::PageSet populated_;
  std::optional<Image> image_;
};

}  // namespace migration
