#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <utility>

#include "migration/base/options.hpp"
#include "migration/destination/receiver.hpp"
#include "migration/net/event_loop.hpp"

/// The destination's part of memory reuse: the image that the VM left here when it went away, as
/// RAM for its return, and telling a source that keeps an image what the guest changes here.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

/// The image that the VM left here is out of the store from now on, whatever comes of the
/// migration.
vmm::GuestMemory IncomingMigration::Receiver::make_ram(const std::string& vm_id,
                                                       std::uint64_t bytes) {
  image_.reset();  // that of a VM that was refused
  ImageStore* const store = options_.image_store.get();
  if (store == nullptr) return vmm::GuestMemory(bytes);
  if (offer_.reuse != Reuse::off) {
    image_ = store->take(vm_id, bytes);
  } else {
    try {
      store->drop(vm_id);  // of no use to anybody once the VM is here
    } catch (const std::exception& error) {
      callbacks_.message(fmt::format("the image of the VM stays: {}", error.what()));
    }
  }
  return image_ ? std::move(image_->memory) : store->memory_for(bytes);
}

/// RAM is what is held of the image; `accept` says so.
void IncomingMigration::Receiver::use_image(wire::Accept& accept) {
  if (!image_) return;
  vmm::GuestMemory& memory = machine_->memory();
  const bool exact = offer_.image_token == image_->token;
  if (exact && offer_.reuse != Reuse::content) {
    accept.image_by = Reuse::generation;
  } else if (offer_.reuse != Reuse::generation) {
    accept.image_by = Reuse::content;
  } else {
    callbacks_.message(
        "the image that was kept of this VM is not used: the source cannot say exactly what has "
        "changed since");
    // All of it: around what was read into anonymous memory, huge pages are zero and not missing.
    const vmm::PageRange all{0, memory.page_count()};
    memory.discard({&all, 1});
    image_->held.clear();
  }
  accept.image_pages = image_->held.count();
  accept.image_key = image_->key;
  for (const vmm::PageRange& range : image_->held.ranges()) target_->written.put(range);
  if (target_->collapser) target_->collapser->exclude(image_->held);
}

asio::awaitable<void> IncomingMigration::Receiver::send_image(ConnectionPtr connection,
                                                              wire::Accept accept) {
  if (accept.image_pages == 0) {
    image_.reset();
    co_return;
  }
  if (accept.image_by == Reuse::generation) {
    for (const vmm::PageRange& piece : wire::bitmap_pieces(image_->held)) {
      connection->send(FrameType::held, wire::encode_missing(piece, image_->held));
    }
    hashes_.emplace(image_->held, std::move(image_->hashes));
  } else {
    for (const wire::Hashes& piece : wire::hashes_of(image_->held, image_->hashes)) {
      connection->send(FrameType::hashes, wire::encode_hashes(piece));
      co_await connection->drained();
    }
  }
  image_->hashes = {};
}

/// Which of the pages that the source suspects to have changed are here as they are there.
void IncomingMigration::Receiver::compare(const Frame& frame) {
  const wire::Hashes theirs = wire::decode_hashes(frame.payload, ram_pages_);
  if (theirs.stretch().first < compared_) throw wire::ProtocolError("the hashes are out of order");
  compared_ = theirs.stretch().end();
  control_->send(FrameType::held,
                 wire::encode_missing(wire::bitmap_piece_around(theirs.stretch()),
                                      hashes_->same(theirs.ranges, theirs.hashes)));
}

/// Pages that lie elsewhere in the image; an empty list says that there are no more.
void IncomingMigration::Receiver::take_copies(const Frame& frame) {
  vmm::GuestMemory& memory = machine_->memory();
  const std::vector<Copy> copies = wire::decode_copies(frame.payload, memory.page_count());
  copies_over_ = copies.empty();
  if (copies_over_) control_->send(FrameType::landed, wire::encode_round(0));
  for (const Copy& copy : copies) pages_copied_ += copy.count;
  if (pages_copied_ > ram_pages_) {
    throw wire::ProtocolError("the source wants pages copied to more than once");
  }
  for (const Copy& copy : copies) {
    const auto from = memory.pages({copy.from, copy.count});
    memory.reserve({copy.from, copy.count});  // to read a hole takes room too
    memory.reserve({copy.to, copy.count});
    std::memcpy(memory.pages({copy.to, copy.count}).data(), from.data(), from.size());
    target_->written.put(vmm::PageRange{copy.to, copy.count});
  }
}

/// From before the first page on, so that starting the log is no part of the downtime.
void IncomingMigration::Receiver::track_changes() {
  if (!offer_.keep || !options_.tracking) return;
  vmm::DirtyLog& log = machine_->dirty_log();
  log.start();
  log.clear_all({0, machine_->memory().page_count()});
}

bool IncomingMigration::Receiver::has_keeper() const {
  return offer_.keep && options_.tracking && (fetching() || is_whole());
}

void IncomingMigration::Receiver::tell_changed(std::vector<wire::Hashes> pages) {
  ++telling_;
  net::spawn(context_.get_executor(), send_changed(std::move(pages)));
}

/// A keeper that takes nothing is told nothing more.
asio::awaitable<void> IncomingMigration::Receiver::send_changed(std::vector<wire::Hashes> pages) {
  if (const ConnectionPtr keeper = control_; keeper_listens_ && keeper) {
    try {
      for (const wire::Hashes& piece : pages) {
        keeper->send(FrameType::changed, wire::encode_hashes(piece));
      }
      co_await keeper->drained();
    } catch (const std::exception&) {
      // It comes back, if it can, and is told everything anew.
    }
  }
  --telling_;
}

/// Each page is of interest once.
void IncomingMigration::Receiver::take_given_up(const Frame& frame) {
  const wire::Missing told = wire::decode_missing(frame.payload, ram_pages_);
  if (told.range.count > wire::kMaxMissingPages) {
    throw wire::ProtocolError("the keeper gives up too many pages in one frame");
  }
  std::vector<vmm::PageRange> news;
  for (const vmm::PageRange& range : told.pages) {
    if (given_up_.count(range) == range.count) continue;
    given_up_.set(range);
    news.push_back(range);
  }
  if (!news.empty()) callbacks_.given_up(std::move(news));
}

/// The keeper says what it has given up, and its end is to be noticed.
asio::awaitable<void> IncomingMigration::Receiver::listen_to_keeper(ConnectionPtr connection) {
  given_up_ = vmm::PageSet(ram_pages_);
  keeper_listens_ = true;
  callbacks_.keeper_came();
  while (connection == control_) take_frame(co_await connection->receive());
}

}  // namespace migration
