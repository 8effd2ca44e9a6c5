#pragma once

#include <functional>
#include <memory>
#include <string>

#include "migration/base/options.hpp"
#include "migration/base/report.hpp"
#include "vmm/machine/machine.hpp"

namespace migration {

/// The source's side of one migration, in a thread of its own. The machine is lent to it by move
/// and comes back in the result, so that nobody else can drive the machine meanwhile.
class SourceMigration {
 public:
  /// How it ended. Exactly one of these holds:
  /// - `machine` set: the VM is here, and runs again if it ran before (or has ended by itself);
  /// - `machine` null: the VM runs at the destination (report.outcome is completed).
  struct Result {
    MigrationReport report;
    std::unique_ptr<vmm::Machine> machine;
    bool kept = false;  ///< the image is kept here, and this object is its keeper from now on
  };

  /// Called from the migration thread.
  struct Callbacks {
    std::function<void(const MigrationReport&)> progress;  ///< at most some ten times a second
    /// The link was lost after Commit: the VM is paused here and may run there. Told once, then
    /// the search for the peer goes on until it settles and `ended` is called.
    std::function<void(const MigrationReport&)> in_doubt;
    std::function<void(Result)> ended;  ///< exactly once
    /// For people, also after `ended`.
    std::function<void(const std::string&)> message;
    /// Some ten times a second while the guest runs here: who lends the machine may stop it for a
    /// moment, and what RAM consists of may change then, not what is in it. What it throws ends the
    /// migration, if the VM stays.
    std::function<void(vmm::Machine&)> tend = [](vmm::Machine&) {};
    /// After `ended`: nothing is left to tell the destination (`done`).
    std::function<void()> over = [] {};
    /// After `ended`: an image that was kept is kept no longer.
    std::function<void()> released = [] {};
  };

  /// Takes over the machine's on_end() too; the owner sets its own when the machine is back. When
  /// this throws (std::system_error), the machine has not been taken.
  SourceMigration(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options,
                  Callbacks callbacks);
  /// Joins the thread; call only after `ended` was called.
  ~SourceMigration();
  SourceMigration(const SourceMigration&) = delete;
  SourceMigration& operator=(const SourceMigration&) = delete;

  // All of these may be called from any thread at any time.
  void set(const MigrateSettings& settings);
  /// Empty when the migration will end soon as cancelled; else why it cannot be any more.
  [[nodiscard]] std::string cancel();
  /// `ferry resume --force`: in doubt only, the operator vouches that the other side does not run.
  /// Empty, or why not.
  [[nodiscard]] std::string force_resume();
  [[nodiscard]] MigrationReport live() const;
  /// The VM runs at the destination, and pages that it lacks are here.
  [[nodiscard]] bool serving() const;
  /// The link was lost after the handover and is being looked for.
  [[nodiscard]] bool link_lost() const;
  /// Nothing is left to do. It comes later than `ended` where the destination may not know who has
  /// the VM: one that may hold it is told to drop it, for some minutes while nobody answers, and
  /// one that has it is told that this is known, for three timeouts.
  [[nodiscard]] bool done() const;

 private:
  class Source;
  std::unique_ptr<Source> source_;
};

}  // namespace migration
