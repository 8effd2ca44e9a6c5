#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "migration/destination/destination.hpp"
#include "migration/pages/ram_sink.hpp"

/// What the source sends of the VM, and what is done once all has come that the guest needs to run
/// here.
namespace migration {

using net::Frame;
using wire::FrameType;

void DestinationMigration::Destination::on_frame(const Frame& frame) {
  const bool receiving = stage() == Stage::receiving;
  switch (frame.type) {
    case FrameType::state:
      if (!receiving || loader_->has_state()) break;
      loader_->set_state(wire::decode_state(frame.payload));
      return prepare_if_complete();
    case FrameType::digests:
      if (!receiving || !loader_->verifies()) break;
      return loader_->check(wire::decode_digests(frame.payload, machine_->memory().page_count()));
    case FrameType::last_round:
      if (!receiving || loader_->knows_last_round()) break;
      loader_->set_last_round(wire::decode_round(frame.payload));
      return prepare_if_complete();
    case FrameType::hashes:
      if (!receiving || !image_.compares()) break;
      return link_.send(FrameType::held, image_.compare(wire::decode_hashes(
                                             frame.payload, machine_->memory().page_count())));
    case FrameType::copies:
      if (!receiving || !image_.copies() || channels_->round() != 1 || fetch_.started()) break;
      return on_copies(frame);
    case FrameType::dropped:
      if (!has_image_keeper()) break;
      return image_keeper_.on_dropped(frame.payload);
    case FrameType::missing:
      if (!receiving || loader_->knows_last_round() || !fetch_.possible()) break;
      return on_missing(frame);
    case FrameType::post_copy:
      if (!receiving || loader_->knows_last_round() || !fetch_.started()) break;
      return on_post_copy(frame);
    case FrameType::report:
      if (!is_whole()) break;
      return board_.show_report(wire::decode<MigrationReport>(frame.payload));
    case FrameType::commit: {
      const auto since_save = wire::decode_commit(frame.payload);
      if (machine_) machine_->saved_before(since_save);
      return on_word(frame, Event::commit);
    }
    case FrameType::abort: return on_word(frame, Event::abort);
    case FrameType::released: return on_word(frame, Event::released);
    default: break;
  }
  throw wire::ProtocolError(fmt::format("the source sent a frame of type {} out of turn",
                                        static_cast<unsigned>(frame.type)));
}

void DestinationMigration::Destination::on_copies(const Frame& frame) {
  image_.copy(wire::decode_copies(frame.payload, machine_->memory().page_count()),
              channels_->target());
  if (!image_.copies()) link_.send(FrameType::landed, wire::encode_round(0));
}

std::unique_ptr<PageSink> DestinationMigration::Destination::make_sink() {
  if (fetch_.started()) return fetch_.make_sink();
  return std::make_unique<RamSink>(channels_->target());
}

/// As far as one channel goes.
void DestinationMigration::Destination::round_landed(std::uint32_t round) {
  if (stage() != Stage::receiving && !fetching()) return;
  if (round != channels_->round()) {
    return link_lost({"a page channel is in another round than the others", true});
  }
  if (fetching() || !channels_->end_round()) return;
  link_.send(FrameType::landed, wire::encode_round(round));
  prepare_if_complete();
}

bool DestinationMigration::Destination::taking_pages() const {
  const Stage now = stage();
  if (local_) return false;
  if (now == Stage::receiving) return !loader_->has_ram(channels_->round()) || fetch_.post_copy();
  return now == Stage::lacking || now == Stage::lacking_unlinked || fetching();
}

bool DestinationMigration::Destination::awaits_connections() const {
  if (!taking_pages()) return false;
  return !channels_->all_open() || (fetch_.post_copy() && !fetch_.connected());
}

void DestinationMigration::Destination::page_connection_lost(const std::exception_ptr& failure) {
  if (fetching() && fetch_.has_all()) return;  // it is not needed any more
  if (const Stage now = stage(); now != Stage::lacking && now != Stage::lacking_unlinked) {
    return link_lost(failure_of(failure));
  }
  // The source shall notice that it is not connected any more.
  link_.close(failure);
}

void DestinationMigration::Destination::prepare_if_complete() {
  if (!loader_->has_all(channels_->round())) return;
  const bool lacking = fetch_.post_copy();
  if (lacking && !fetch_.connected()) return;
  if (!lacking) channels_->close();
  std::optional<std::string> difference = compare_ram();
  // In post-copy loading waits for pages.
  if (!fetch_.begin_loading()) return;  // why is on its way to this thread
  try {
    machine_->acquire();
    if (!difference) difference = loader_->load();
  } catch (const std::exception& error) {
    const std::string why = fmt::format("the machine cannot be loaded: {}", error.what());
    return happened(Event::load_failed, {why});
  }
  if (!fetch_.end_loading()) return;
  if (difference) return happened(Event::load_failed, {"verification failed: " + *difference});
  happened(lacking ? Event::loaded_lacking : Event::loaded);
}

std::optional<std::string> DestinationMigration::Destination::compare_ram() {
  if (!loader_->verifies() || local_) return std::nullopt;  // handed over, it is the same
  if (!fetch_.started()) return loader_->compare_ram(nullptr);
  // Pages that were missing are checked one by one, as they come.
  const vmm::PageSet missing = fetch_.expected();
  return loader_->compare_ram(&missing);
}

}  // namespace migration
