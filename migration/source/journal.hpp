#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "migration/base/options.hpp"
#include "migration/base/report.hpp"
#include "migration/pages/used_pages.hpp"
#include "migration/policy/page_account.hpp"
#include "migration/policy/progress.hpp"
#include "migration/policy/time_left.hpp"
#include "vmm/os/mutex.hpp"

namespace migration::source {

/// All that is told of a migration, while it runs and when it has ended. The migration's thread
/// writes; any thread reads the report.
class Journal {
 public:
  using Clock = std::chrono::steady_clock;

  /// `running`: the guest runs as the migration begins.
  Journal(const MigrateOptions& options, std::uint64_t pages, bool running);

  [[nodiscard]] MigrationReport report() const;
  /// Since the migration was asked for.
  [[nodiscard]] Clock::duration elapsed() const { return Clock::now() - start_; }

  /// What goes on now, for people.
  void phase(std::string text);
  /// `change` is called with the report, and nobody else reads it meanwhile.
  template <typename Change>
  void write(Change&& change) {
    const vmm::Lock lock(mutex_);
    std::forward<Change>(change)(report_);
  }
  /// What need not be sent.
  void account(const PageAccount& pages);

  /// The moments of the handover, in order. What lies between two of them is a phase of the report.
  enum class Moment : std::uint8_t {
    stopping,  ///< the guest is about to be stopped
    stopped,
    saved,     ///< its state
    landed,    ///< all pages are at the destination, or known to be missing there
    prepared,  ///< the destination has said so
    running,   ///< the destination has said that the VM runs there: the first time counts
  };
  static constexpr std::size_t kMoments = static_cast<std::size_t>(Moment::running) + 1;
  void reached(Moment moment);
  /// Nullopt before it is reached.
  [[nodiscard]] std::optional<Clock::time_point> when(Moment moment) const;

  /// What the report says when the migration has ended with the VM here, or there.
  void stayed(Outcome outcome, std::string error, std::string owner);
  void completed(std::string owner);

  /// Of what is being sent: how many pages it is, unless all that are used, and how many have gone.
  struct UnderWay {
    std::optional<std::uint64_t> all;
    std::uint64_t gone = 0;
    std::optional<ConvergenceInput> after = std::nullopt;  ///< of rounds that may follow
    bool taken = true;                                     ///< the destination is there to take it
  };
  /// Only so many pages have to travel; the first word counts.
  void must_travel(std::uint64_t pages);
  /// Looks how far it is, for people. Between rounds nobody knows.
  void look(const vmm::GuestMemory& memory, const std::optional<UnderWay>& under_way);
  /// The figures that grow all the time: time, CPU, memory.
  void measure();

 private:
  [[nodiscard]] double between(Moment from, Moment to) const;

  const Clock::time_point start_ = Clock::now();
  const double cpu_at_start_;
  std::array<std::optional<Clock::time_point>, kMoments> moments_;
  UsedPages used_;
  Progress progress_;
  TimeLeft time_left_;
  std::optional<std::uint64_t> to_travel_;  ///< pages; none: all that are used

  mutable vmm::Mutex mutex_;
  MigrationReport report_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace migration::source
