#include "migration/destination/incoming.hpp"

#include <utility>

#include "migration/destination/receiver.hpp"

namespace migration {

IncomingMigration::IncomingMigration(ReceiveOptions options, MachineFactory factory,
                                     Callbacks callbacks)
    : receiver_(std::make_unique<Receiver>(std::move(options), std::move(factory),
                                           std::move(callbacks))) {}
IncomingMigration::~IncomingMigration() = default;
std::string IncomingMigration::force_resume() { return receiver_->force_resume(); }
void IncomingMigration::decline(std::function<void()> done) { receiver_->decline(std::move(done)); }
bool IncomingMigration::image_keeper_listens() const { return receiver_->image_keeper_listens(); }
void IncomingMigration::tell_changed(std::vector<wire::Hashes> pages) {
  receiver_->tell_changed(std::move(pages));
}
IncomingMigration::Status IncomingMigration::status() const { return receiver_->status(); }

}  // namespace migration
