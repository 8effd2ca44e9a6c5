#include "migration/destination/destination_migration.hpp"

#include <utility>

#include "migration/destination/destination.hpp"

namespace migration {

DestinationMigration::DestinationMigration(ReceiveOptions options, MachineFactory factory,
                                           Callbacks callbacks)
    : destination_(std::make_unique<Destination>(std::move(options), std::move(factory),
                                                 std::move(callbacks))) {}
DestinationMigration::~DestinationMigration() = default;
std::string DestinationMigration::force_resume() { return destination_->force_resume(); }
void DestinationMigration::decline(std::function<void()> done) {
  destination_->decline(std::move(done));
}
bool DestinationMigration::image_keeper_listens() const {
  return destination_->image_keeper_listens();
}
void DestinationMigration::tell_changed(std::vector<wire::Hashes> pages) {
  destination_->tell_changed(std::move(pages));
}
DestinationMigration::Status DestinationMigration::status() const { return destination_->status(); }

}  // namespace migration
