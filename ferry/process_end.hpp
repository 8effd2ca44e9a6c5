#pragma once

#include <chrono>
#include <optional>

namespace ferry {

/// Whether the process ends, and with what status. Pure.
class ProcessEnd {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Somebody wants the end, by a signal or Ctrl-A X. False where that is still the wish of a
  /// moment ago (kSameWish).
  [[nodiscard]] bool wished(TimePoint now);

  /// It ends so once the VM's migration is over.
  void begin_after_migration(int status) { after_migration_ = status; }
  [[nodiscard]] const std::optional<int>& after_migration() const { return after_migration_; }
  /// What was asked for before is not wanted any more.
  void take_back() { after_migration_.reset(); }

  /// It ends. False where it does so already, with the status of the first time.
  [[nodiscard]] bool begin(int status);
  [[nodiscard]] bool begun() const { return status_.has_value(); }
  [[nodiscard]] const std::optional<int>& status() const { return status_; }

 private:
  std::optional<TimePoint> last_wish_;
  std::optional<int> after_migration_;
  std::optional<int> status_;
};

}  // namespace ferry
