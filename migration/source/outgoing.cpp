#include "migration/source/outgoing.hpp"

#include <utility>

#include "migration/source/source.hpp"

namespace migration {

OutgoingMigration::OutgoingMigration(std::unique_ptr<vmm::Machine>&& machine,
                                     MigrateOptions options, Callbacks callbacks)
    : source_(
          std::make_unique<Source>(std::move(machine), std::move(options), std::move(callbacks))) {}

OutgoingMigration::~OutgoingMigration() = default;

void OutgoingMigration::set(const MigrateSettings& settings) { source_->set(settings); }
std::string OutgoingMigration::cancel() { return source_->cancel(); }
std::string OutgoingMigration::force_resume() { return source_->force_resume(); }
bool OutgoingMigration::done() const { return source_->done(); }
bool OutgoingMigration::serving() const { return source_->serving(); }
bool OutgoingMigration::link_lost() const { return source_->link_lost(); }
MigrationReport OutgoingMigration::live() const { return source_->live(); }

}  // namespace migration
