#include "migration/source/source_migration.hpp"

#include <utility>

#include "migration/source/source.hpp"

namespace migration {

SourceMigration::SourceMigration(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options,
                                 Callbacks callbacks)
    : source_(
          std::make_unique<Source>(std::move(machine), std::move(options), std::move(callbacks))) {}

SourceMigration::~SourceMigration() = default;

void SourceMigration::set(const MigrateSettings& settings) { source_->set(settings); }
std::string SourceMigration::cancel() { return source_->cancel(); }
std::string SourceMigration::force_resume() { return source_->force_resume(); }
bool SourceMigration::done() const { return source_->done(); }
bool SourceMigration::serving() const { return source_->serving(); }
bool SourceMigration::link_lost() const { return source_->link_lost(); }
MigrationReport SourceMigration::live() const { return source_->live(); }

}  // namespace migration
