#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "migration/base/report.hpp"
#include "migration/model/copying.hpp"
#include "migration/policy/convergence.hpp"
#include "migration/policy/page_account.hpp"

namespace migration::model {

/// Pre-copy as source::PreCopy does it: the rounds that the live driver wants.
class PreCopy {
 public:
  PreCopy(const Scenario& scenario, Copying& copying);

  /// The rounds while the guest runs.
  void run();
  /// What is left when it stands.
  void send_rest();
  /// The same, for post-copy to bring.
  [[nodiscard]] vmm::PageSet take_rest();

  [[nodiscard]] const std::optional<std::string>& switched() const { return switched_; }
  [[nodiscard]] Why why() const { return last_.why; }
  [[nodiscard]] double predicted_downtime() const { return last_.downtime_seconds; }
  [[nodiscard]] const std::vector<RoundReport>& rounds() const { return rounds_; }
  [[nodiscard]] std::uint64_t held_back() const { return held_back_; }
  [[nodiscard]] std::uint64_t needless() const { return needless_; }

 private:
  [[nodiscard]] Step watch(vmm::PageSet& dirty);
  void send_round(RoundPages& round, PreCopyDriver::Kind kind);
  void take_out_of_log(RoundPages& round, vmm::PageRange chunk);
  void note_versions(vmm::PageRange pages);
  void tick();
  [[nodiscard]] PreCopyDriver::SoFar so_far() const;

  const Scenario& scenario_;
  Copying& copying_;
  std::vector<std::uint32_t> handed_out_;  ///< the version of each page when it last was
  PageAccount account_;
  PreCopyDriver driver_;
  RoundPages* round_ = nullptr;  ///< that is under way
  bool stopped_ = false;
  Decision last_{};
  std::optional<std::string> switched_;
  std::vector<RoundReport> rounds_;
  std::uint64_t held_back_ = 0;
  std::uint64_t needless_ = 0;
};

}  // namespace migration::model
