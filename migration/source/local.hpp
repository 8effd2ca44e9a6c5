#pragma once

#include <memory>
#include <string>

#include "migration/source/memory_transfer.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/memory/shared_ram.hpp"

namespace migration::source {

/// RAM is handed to another process of this host, and nothing of it is sent (docs/decisions/0035).
/// Until it runs the guest itself, that process writes none of it.
class Local final : public MemoryTransfer {
 public:
  explicit Local(const Parts& parts);

  /// Why RAM cannot be handed over, as this side knows; empty when it can.
  [[nodiscard]] std::string why_not() const;
  /// It goes with what is sent next on the link.
  void offer();
  /// The destination has it.
  void accepted() { accepted_ = true; }
  [[nodiscard]] bool is_accepted() const { return accepted_; }

  /// Whether the guest may run here: not where it has run at the destination, whose RAM this is
  /// then. From then on it cannot run there.
  [[nodiscard]] bool may_run();
  /// Any thread.
  [[nodiscard]] bool ran_there() const;

  std::uint64_t take_rest() override { return 0; }
  boost::asio::awaitable<void> send_rest(const std::function<void()>& all_told) override;
  [[nodiscard]] LastWord last_word() const override { return {wire::FrameType::last_round, 0}; }
  [[nodiscard]] std::optional<Journal::UnderWay> under_way() const override { return {}; }

 private:
  Parts parts_;
  const std::shared_ptr<vmm::RamClaim> claim_;  ///< null where RAM cannot be handed over
  bool accepted_ = false;
};

}  // namespace migration::source
