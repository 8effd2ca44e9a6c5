#include <fmt/format.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/reuse/image_store.hpp"
#include "migration/source.hpp"
#include "vmm/machine/machine_config.hpp"

/// The source's part of memory reuse. Before the first round: which pages the destination still has
/// from the VM's earlier stay there. After the handover: keeping the image here for the VM's
/// return, and giving up what the guest changes meanwhile.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Pages that are hashed at a time, 256 MiB: the connection has its turn in between.
constexpr std::uint64_t kCompareStep = 65536;
/// Post-copy has no rounds that tell which pages the guest writes often: it looks so many times, at
/// this interval, before it stops the guest (Zhong 2014: history at a fixed interval).
constexpr unsigned kSamples = 4;
constexpr std::chrono::milliseconds kSampleTime{25};
/// The keeper gathers what to drop for so long.
constexpr std::chrono::milliseconds kGather{300};

}  // namespace

asio::awaitable<void> OutgoingMigration::Source::learn_image(const wire::Accept& accept) {
  if (accept.image_pages == 0) co_return;
  const std::uint64_t pages = machine_->memory().page_count();
  const bool exact = accept.image_by == Reuse::generation;
  if (exact && !options_.tracked_since) {
    throw wire::ProtocolError("the destination has an image of a handover that it was not told");
  }
  KnownImage image{accept.image_by, accept.image_key, vmm::DirtyBitmap(pages), {}};
  std::uint64_t told = 0;
  for (vmm::PageIndex next = 0; told < accept.image_pages;) {
    const Frame frame = co_await expect(exact ? FrameType::held : FrameType::hashes);
    if (exact) {
      for (const vmm::PageRange& range : wire::decode_missing(frame.payload, pages).pages) {
        told += range.count;
        image.held.set(range);
      }
      continue;
    }
    const wire::Hashes piece = wire::decode_hashes(frame.payload, pages);
    if (piece.range.first < next) throw wire::ProtocolError("the hashes are out of order");
    next = piece.range.end();
    told += piece.range.count;
    image.held.set(piece.range);
    image.hashes.insert(image.hashes.end(), piece.hashes.begin(), piece.hashes.end());
  }
  if (told != accept.image_pages || image.held.count() != told) {
    throw wire::ProtocolError("the destination's list of the pages that it holds is unsound");
  }
  image_ = std::move(image);
}

asio::awaitable<void> OutgoingMigration::Source::compare() {
  phase("comparing with the image there");
  if (image_->by == Reuse::content) {
    co_await compare_content();
  } else {
    co_await compare_changed();
  }
}

/// The log has run since the VM came from there: what it does not name is there as it is here. It
/// also names pages that were only read (KVM maps a page writable at its first use, and counts that
/// as a write), and pages may have got their old content back: their hashes tell.
asio::awaitable<void> OutgoingMigration::Source::compare_changed() {
  const vmm::GuestMemory& memory = machine_->memory();
  vmm::DirtyLog& log = machine_->dirty_log();
  const vmm::PageRange all{0, memory.page_count()};
  vmm::DirtyBitmap changed = log.harvest();
  changed |= options_.tracked_since->changed;
  reusable_ = image_->held;
  reusable_ -= changed;
  memory.add_populated(all, unsent_);
  unsent_ -= image_->held;
  unsent_ |= changed;
  changed &= image_->held;
  for (vmm::PageIndex first = 0; first < all.count; first += kCompareStep) {
    const vmm::PageRange step{first, std::min(kCompareStep, all.count - first)};
    const std::vector<vmm::PageRange> ranges = changed.ranges(step);
    if (ranges.empty()) continue;
    vmm::DirtyBitmap here(all.count);
    for (const vmm::PageRange& range : ranges) here.set(range);
    // First clear, then look: a page written in between is compared and sent.
    log.clear(here, step);
    const std::vector<wire::Hashes> pieces =
        wire::hashes_of(here, hash_pages(memory, here, image_->key));
    for (const wire::Hashes& piece : pieces) {
      control_->send(FrameType::hashes, wire::encode_hashes(piece.range.first, piece.hashes));
    }
    co_await control_->drained();
    for (std::size_t answers = 0; answers < pieces.size(); ++answers) {
      const Frame frame = co_await expect(FrameType::held);
      for (const vmm::PageRange& same : wire::decode_missing(frame.payload, all.count).pages) {
        if (here.count(same) != same.count) {
          throw wire::ProtocolError("the destination compared pages that it was not asked for");
        }
        reusable_.set(same);
        unsent_.reset(same);
      }
    }
    check_guest();
  }
}

asio::awaitable<void> OutgoingMigration::Source::compare_content() {
  const vmm::GuestMemory& memory = machine_->memory();
  vmm::DirtyLog& log = machine_->dirty_log();
  if (!log.active()) log.start();
  const std::uint64_t pages = memory.page_count();
  const ContentIndex index(image_->held, std::move(image_->hashes));
  std::vector<Copy> moved;
  vmm::DirtyBitmap populated(pages);
  for (vmm::PageIndex first = 0; first < pages; first += kCompareStep) {
    const vmm::PageRange step{first, std::min(kCompareStep, pages - first)};
    // First clear, then look: a page written in between is compared and sent.
    log.clear_all(step);
    vmm::DirtyBitmap here(pages);
    memory.add_populated(step, here);
    populated |= here;
    const std::vector<PageHash> hashes = hash_pages(memory, here, image_->key);
    auto hash = hashes.begin();
    for (const vmm::PageRange& range : here.ranges(step)) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
        const ContentIndex::Place place = index.find(page, *hash++);
        if (place.match == ContentIndex::Match::same) reusable_.set(page);
        if (place.match == ContentIndex::Match::elsewhere) moved.push_back({page, place.page, 1});
      }
    }
    co_await asio::post(context_, asio::use_awaitable);
    check_guest();
  }
  co_await send_copies(plan_copies(std::move(moved)));
  // What is held there and never was touched here has to become zero.
  unsent_ = std::move(populated);
  unsent_ |= image_->held;
  unsent_ -= reusable_;
  unsent_ -= copied_;
}

asio::awaitable<void> OutgoingMigration::Source::send_copies(const CopyPlan& plan) {
  if (plan.copies.empty()) co_return;
  for (std::size_t at = 0; at < plan.copies.size(); at += wire::kMaxCopies) {
    const auto piece =
        std::span(plan.copies).subspan(at, std::min(wire::kMaxCopies, plan.copies.size() - at));
    control_->send(FrameType::copies, wire::encode_copies(piece));
    co_await control_->drained();
    for (const Copy& copy : piece) copied_.set(vmm::PageRange{copy.to, copy.count});
  }
  // None of the first round's pages may overwrite one that is still to be copied from.
  control_->send(FrameType::copies, wire::encode_copies({}));
  const Frame done = co_await expect(FrameType::landed);
  if (wire::decode_round(done.payload) != 0) {
    throw wire::ProtocolError("the destination acknowledged a round instead of the copies");
  }
}

/// What the guest wrote and, with an image, what else must travel and no round has taken up.
vmm::DirtyBitmap OutgoingMigration::Source::harvest_unsent() {
  vmm::DirtyBitmap pages = machine_->dirty_log().harvest();
  pages |= unsent_;
  unsent_.clear();
  return pages;
}

/// What need not be sent. To be called with the mutex held.
void OutgoingMigration::Source::count_pages() {
  MigrationReport::Pages& pages = report_.pages;
  pages.reused = reusable_.count();
  pages.duplicate = copied_.count();
  pages.unpopulated = pages.total - sent_.count() - pages.reused - pages.duplicate;
}

/// Which pages the guest writes often, before it is stopped for post-copy.
asio::awaitable<void> OutgoingMigration::Source::sample_history() {
  phase("watching what the guest writes");
  vmm::DirtyLog& log = machine_->dirty_log();
  if (!log.active()) log.start();
  const vmm::PageRange all{0, machine_->memory().page_count()};
  asio::steady_timer timer(context_);
  for (unsigned sample = 0; sample < kSamples; ++sample) {
    // Only what was seen is cleared: a page that is written in between stays in the log.
    const vmm::DirtyBitmap before = log.harvest();
    if (image_) unsent_ |= before;
    log.clear(before, all);
    timer.expires_after(kSampleTime);
    co_await timer.async_wait(asio::use_awaitable);
    check_guest();
    hot_.observe(log.harvest());
  }
}

/// The VM runs at the destination: RAM here becomes the kept image.
void OutgoingMigration::Source::keep_image() {
  const vmm::MachineConfig& config = machine_->config();
  const std::uint64_t pages = machine_->memory().page_count();
  // Those that were never touched are zero, and come back as such without being held.
  vmm::DirtyBitmap held(pages);
  machine_->memory().add_populated({0, pages}, held);
  held -= hot_.hot();
  try {
    ImageStore::Kept kept =
        options_.keep_in->keep({config.id, config.name, token_, key_}, machine_->memory(), held);
    kept_hashes_.emplace(std::move(held), std::move(kept.hashes));
    kept_ = true;
    vm_id_ = config.id;
    const std::lock_guard lock(mutex_);
    report_.kept_image = {kept.pages, kept.bytes};
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image of the VM is not kept: {}", error.what()));
  }
}

/// As the keeper of the image: until somebody takes or drops it.
asio::awaitable<void> OutgoingMigration::Source::watch_image() {
  asio::co_spawn(context_, watch_store(), asio::detached);
  std::chrono::milliseconds delay = kFirstRetry;
  while (kept_) {
    try {
      if (!control_) {
        if (co_await inquire(true) != wire::VmStatus::running) {
          throw std::runtime_error("the VM does not run there any more");
        }
        if (!kept_) co_return;
        control_ = std::exchange(inquiry_, nullptr);
      }
      const Frame frame = co_await control_->receive();
      if (frame.type == FrameType::running) continue;  // the answer to an inquiry ends with it
      take_changes(frame);
      delay = kFirstRetry;
      continue;
    } catch (const std::exception&) {
      // Nothing breaks by that: what was not told is settled at the VM's return.
    }
    if (control_) std::exchange(control_, nullptr)->close();
    end_inquiry();
    if (kept_) co_await pause_before_retry(delay);
  }
}

asio::awaitable<void> OutgoingMigration::Source::watch_store() {
  try {
    asio::posix::stream_descriptor events(context_, ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (::inotify_add_watch(events.native_handle(), options_.keep_in->path().c_str(),
                            IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO) < 0) {
      throw std::system_error(errno, std::generic_category(), "inotify");
    }
    std::array<std::byte, 4096> ignored{};
    while (kept_ && options_.keep_in->has(vm_id_, token_)) {
      co_await events.async_read_some(asio::buffer(ignored), asio::use_awaitable);
    }
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image is kept on, but not watched over: {}", error.what()));
  }
  release_image();
}

/// The image is not this process's to keep any more.
void OutgoingMigration::Source::release_image() {
  kept_ = false;
  retry_.cancel();
  drop_timer_.cancel();
  if (control_) control_->close();
  if (inquiry_) inquiry_->close();
}

/// Rule 1 of the paper: what the guest has changed over there cannot be reused. The destination
/// names what it may have changed; the hashes tell.
void OutgoingMigration::Source::take_changes(const Frame& frame) {
  if (frame.type != FrameType::changed) {
    throw wire::ProtocolError("the destination sent something else than what changed");
  }
  vmm::DirtyBitmap dropped(to_drop_.pages());
  const wire::Hashes pages = wire::decode_hashes(frame.payload, dropped.pages());
  for (std::uint64_t i = 0; i < pages.range.count; ++i) {
    const vmm::PageIndex page = pages.range.first + i;
    if (kept_hashes_->find(page, pages.hashes[i]).match != ContentIndex::Match::same) {
      dropped.set(page);
    }
  }
  if (to_drop_.empty()) {
    // Together with those that follow: each drop makes a new manifest durable.
    drop_timer_.expires_after(kGather);
    drop_timer_.async_wait([this](boost::system::error_code cancelled) {
      if (!cancelled) drop_pages();
    });
  }
  to_drop_ |= dropped;
}

void OutgoingMigration::Source::drop_pages() {
  const vmm::DirtyBitmap pages = std::exchange(to_drop_, vmm::DirtyBitmap(to_drop_.pages()));
  try {
    if (!options_.keep_in->drop_pages(vm_id_, token_, pages)) return release_image();
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image is not kept any more: {}", error.what()));
    return release_image();
  }
  if (!control_) return;
  for (const vmm::PageRange& piece : wire::bitmap_pieces(pages)) {
    control_->send(FrameType::dropped, wire::encode_missing(piece, pages));
  }
}

}  // namespace migration
