#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "migration/reuse/content_index.hpp"
#include "migration/reuse/image_store.hpp"
#include "migration/source/source.hpp"
#include "vmm/machine/machine_config.hpp"

/// Memory reuse at the source, before the first round: which pages the destination still has from
/// the VM's earlier stay there.
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

}  // namespace

/// For compare_changed(), while the destination checks the image that it may have. The log runs, so
/// that it will name what is touched from now on.
asio::awaitable<void> OutgoingMigration::Source::find_populated() {
  co_await control_->drained();
  populated_ = vmm::PageSet(machine_->memory().page_count());
  machine_->memory().add_populated({0, populated_.pages()}, populated_);
}

asio::awaitable<void> OutgoingMigration::Source::learn_image(const wire::Accept& accept) {
  if (accept.image_pages == 0) co_return;
  const std::uint64_t pages = machine_->memory().page_count();
  const bool exact = accept.image_by == Reuse::generation;
  if (exact && !options_.tracked_since) {
    throw wire::ProtocolError("the destination has an image of a handover that it was not told");
  }
  KnownImage image{accept.image_by, accept.image_key, vmm::PageSet(pages), {}};
  std::uint64_t told = 0;
  for (vmm::PageIndex next = 0; told < accept.image_pages;) {
    const Frame frame = co_await expect(exact ? FrameType::held : FrameType::hashes);
    // Upward, so that they come to an end.
    const auto go_on = [&next](vmm::PageRange stretch) {
      if (stretch.first < next) throw wire::ProtocolError("the list of pages held is out of order");
      next = stretch.end();
    };
    if (exact) {
      const wire::Missing piece = wire::decode_missing(frame.payload, pages);
      go_on(piece.range);
      for (const vmm::PageRange& range : piece.pages) {
        told += range.count;
        image.held.set(range);
      }
      continue;
    }
    const wire::Hashes piece = wire::decode_hashes(frame.payload, pages);
    go_on(piece.stretch());
    told += piece.hashes.size();
    for (const vmm::PageRange& range : piece.ranges) image.held.set(range);
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
  vmm::PageSet changed = log.harvest();
  changed |= options_.tracked_since->changed;
  reusable_ = image_->held;
  reusable_ -= changed;
  unsent_ = std::move(populated_);
  unsent_ -= image_->held;
  unsent_ |= changed;
  changed &= image_->held;
  for (vmm::PageIndex first = 0; first < all.count; first += kCompareStep) {
    const vmm::PageRange step{first, std::min(kCompareStep, all.count - first)};
    const std::vector<vmm::PageRange> ranges = changed.ranges(step);
    if (ranges.empty()) continue;
    vmm::PageSet here(all.count);
    for (const vmm::PageRange& range : ranges) here.set(range);
    // First clear, then look: a page written in between is compared and sent.
    log.clear(here, step);
    const std::vector<wire::Hashes> pieces =
        wire::hashes_of(here, hash_pages(memory, here, here, image_->key));
    for (const wire::Hashes& piece : pieces) {
      control_->send(FrameType::hashes, wire::encode_hashes(piece));
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
  const ContentIndex index(HeldHashes(image_->held, std::move(image_->hashes)));
  const std::array<std::byte, vmm::kPageSize> zero_page{};
  const PageHash zero = PageHasher(image_->key)(zero_page);
  std::vector<Copy> moved;
  vmm::PageSet populated(pages);
  for (vmm::PageIndex first = 0; first < pages; first += kCompareStep) {
    const vmm::PageRange step{first, std::min(kCompareStep, pages - first)};
    // First clear, then look: a page written in between is compared and sent.
    log.clear_all(step);
    vmm::PageSet here(pages);
    memory.add_populated(step, here);
    populated |= here;
    const std::vector<PageHash> hashes = hash_pages(memory, here, here, image_->key);
    auto hash = hashes.begin();
    for (const vmm::PageRange& range : here.ranges(step)) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
        const ContentIndex::Place place = index.find(page, *hash);
        if (place.match == ContentIndex::Match::same) reusable_.set(page);
        const bool elsewhere = place.match == ContentIndex::Match::elsewhere;
        // A zero page costs less than a copy of one, on the wire and in memory.
        if (elsewhere && *hash != zero) moved.push_back({page, place.page, 1});
        ++hash;
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

/// What the guest wrote, and what else must travel and no round has taken up.
vmm::PageSet OutgoingMigration::Source::harvest_unsent() {
  vmm::PageSet pages = machine_->dirty_log().harvest();
  pages |= unsent_;
  unsent_.clear();
  return pages;
}

/// What need not be sent. To be called with the mutex held.
void OutgoingMigration::Source::count_pages() {
  MigrationReport::Pages& pages = report_.pages;
  pages.reused = reusable_.count();
  pages.duplicate = copied_.count();
  pages.unpopulated =
      pages.total - sent_.count() - unsent_.count() - pages.reused - pages.duplicate;
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
    const vmm::PageSet before = log.harvest();
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
  try {
    // Those that were never touched are zero, and come back as such without being held.
    vmm::PageSet held(pages);
    machine_->memory().add_populated({0, pages}, held);
    held -= hot_.hot();
    ImageStore::Kept kept =
        options_.keep_in->keep({config.id, config.name, token_, key_}, machine_->memory(), held);
    keeper_ = std::make_unique<ImageKeeper>(
        context_,
        ImageKeeper::Image{options_.keep_in, config.id, token_,
                           HeldHashes(std::move(held), std::move(kept.hashes))},
        ImageKeeper::Peer{options_.to, incarnation_, options_.timeout}, callbacks_.message);
    const std::lock_guard lock(mutex_);
    report_.kept_image = {kept.pages, kept.bytes};
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the image of the VM is not kept: {}", error.what()));
    const std::lock_guard lock(mutex_);
    report_.kept_image.error = error.what();
  }
}

}  // namespace migration
