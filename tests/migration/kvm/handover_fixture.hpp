#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "migration/destination/destination_migration.hpp"
#include "migration/source/source_migration.hpp"
#include "tests/vmm/kvm/guest_fixture.hpp"

namespace migration {

/// Both sides of one migration at a time, in one process. Whatever machine the guest runs in, it
/// prints to output_.
class HandoverTest : public vmm::GuestTest {
 public:
  ~HandoverTest() override;

 protected:
  [[nodiscard]] static Address tcp();
  [[nodiscard]] static Address unix_socket();

  /// A running guest, busy with all that a migration has to carry.
  [[nodiscard]] std::unique_ptr<vmm::Machine> run_guest(const std::string& more = "");

  /// Makes the destination's side; its address.
  Address receive(const Address& listen);
  /// The same, with a destination that builds its machine by `build`.
  using Build = std::function<std::unique_ptr<vmm::Machine>(const vmm::MachineConfig&,
                                                            std::uint64_t, const MakeRam&)>;
  Address receive(const Address& listen, const Build& build);
  /// Starts the source's side.
  void migrate(
      std::unique_ptr<vmm::Machine> machine, MigrateOptions options,
      std::function<void(const MigrationReport&)> progress = [](const auto&) {});
  /// What a migration gets that shall not come to its end by itself.
  [[nodiscard]] static MigrateOptions slow(Address to);

  // All wait for vmm::kDeadline at most.

  /// Until pages are under way; false when that does not come.
  [[nodiscard]] bool wait_copying();
  /// How the source's side ended.
  [[nodiscard]] SourceMigration::Result wait_ended();
  /// The VM at the destination; null when it does not arrive.
  [[nodiscard]] std::unique_ptr<vmm::Machine> wait_arrived();
  /// Until the VM that has arrived has all its pages; false when that does not come.
  [[nodiscard]] bool wait_complete();
  /// How the migration was, as the destination has been told; none when that does not come.
  [[nodiscard]] std::optional<MigrationReport> wait_report();
  /// What the source says for people, first.
  [[nodiscard]] std::string wait_said();
  /// Why there is no VM at the destination.
  [[nodiscard]] std::string wait_failed();
  /// The guest ends by itself, content, after so many ticks in order.
  void expect_ends_well(vmm::Machine& machine, std::size_t ticks);
  /// The source has its VM, and that goes on.
  void expect_runs_here(const SourceMigration::Result& result);

  std::unique_ptr<DestinationMigration> incoming_;
  std::unique_ptr<SourceMigration> outgoing_;

 private:
  struct Promises {
    std::promise<Address> listening;
    std::promise<std::unique_ptr<vmm::Machine>> arrived;
    std::promise<std::string> failed;
    std::promise<void> complete;
    std::promise<void> copying;
    std::promise<std::string> said;
    std::promise<SourceMigration::Result> ended;
  };
  std::shared_ptr<Promises> receiving_;
  std::shared_ptr<Promises> sending_;
};

}  // namespace migration
