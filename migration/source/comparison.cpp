#include "migration/source/comparison.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <span>
#include <utility>

#include "migration/reuse/content_index.hpp"
#include "migration/reuse/hash_pages.hpp"
#include "migration/reuse/held_hashes.hpp"

namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Pages that are hashed at a time, 256 MiB: the connection has its turn in between.
constexpr std::uint64_t kCompareStep = 65536;

}  // namespace

void Comparison::look_at_ram() {
  populated_ = vmm::PageSet(parts_.machine.memory().page_count());
  parts_.machine.memory().add_populated({0, populated_.pages()}, populated_);
}

asio::awaitable<void> Comparison::learn(const wire::Accept& accept, bool since) {
  if (accept.image_pages == 0) co_return;
  const std::uint64_t pages = parts_.machine.memory().page_count();
  const bool exact = accept.image_by == Reuse::generation;
  if (exact && !since) {
    throw wire::ProtocolError("the destination has an image of a handover that it was not told");
  }
  Image image{accept.image_by, accept.image_key, vmm::PageSet(pages), {}};
  std::uint64_t told = 0;
  for (vmm::PageIndex next = 0; told < accept.image_pages;) {
    const Frame frame = co_await parts_.link.expect(exact ? FrameType::held : FrameType::hashes);
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

asio::awaitable<Comparison::Found> Comparison::compare(const vmm::PageSet* since) {
  if (image_->by == Reuse::content) co_return co_await compare_content();
  co_return co_await compare_changed(*since);
}

/// The log has run since the VM came from there: what it does not name is there as it is here. It
/// also names pages that were only read (KVM maps a page writable at its first use, and counts that
/// as a write), and pages may have got their old content back: their hashes tell.
asio::awaitable<Comparison::Found> Comparison::compare_changed(const vmm::PageSet& since) {
  vmm::DirtyLog& log = parts_.machine.dirty_log();
  const vmm::PageRange all{0, parts_.machine.memory().page_count()};
  vmm::PageSet changed = log.read();
  changed |= since;
  Found found{image_->held, vmm::PageSet(all.count), std::move(populated_)};
  found.same -= changed;
  found.must_send -= image_->held;
  found.must_send |= changed;
  changed &= image_->held;
  for (vmm::PageIndex first = 0; first < all.count; first += kCompareStep) {
    const vmm::PageRange step{first, std::min(kCompareStep, all.count - first)};
    const std::vector<vmm::PageRange> ranges = changed.ranges(step);
    if (ranges.empty()) continue;
    vmm::PageSet here(all.count);
    for (const vmm::PageRange& range : ranges) here.set(range);
    // First clear, then look: a page written in between is compared and sent.
    log.clear(here, step);
    co_await ask_for_same(here, found);
    parts_.check_guest();
  }
  co_return found;
}

/// Which of the pages `here` the destination holds with the same content.
asio::awaitable<void> Comparison::ask_for_same(const vmm::PageSet& here, Found& found) {
  const std::vector<wire::Hashes> pieces =
      wire::hashes_of(here, hash_pages(parts_.machine.memory(), here, here, image_->key));
  for (const wire::Hashes& piece : pieces) {
    parts_.link.control().send(FrameType::hashes, wire::encode_hashes(piece));
  }
  co_await parts_.link.control().drained();
  for (std::size_t answers = 0; answers < pieces.size(); ++answers) {
    const Frame frame = co_await parts_.link.expect(FrameType::held);
    for (const vmm::PageRange& same : wire::decode_missing(frame.payload, here.pages()).pages) {
      if (here.count(same) != same.count) {
        throw wire::ProtocolError("the destination compared pages that it was not asked for");
      }
      found.same.set(same);
      found.must_send.reset(same);
    }
  }
}

asio::awaitable<Comparison::Found> Comparison::compare_content() {
  const vmm::GuestMemory& memory = parts_.machine.memory();
  vmm::DirtyLog& log = parts_.machine.dirty_log();
  if (!log.active()) log.start();
  const std::uint64_t pages = memory.page_count();
  const ContentIndex index(HeldHashes(image_->held, std::move(image_->hashes)));
  const std::array<std::byte, vmm::kPageSize> zero_page{};
  const PageHash zero = PageHasher(image_->key)(zero_page);
  Found found{vmm::PageSet(pages), vmm::PageSet(pages), vmm::PageSet(pages)};
  std::vector<Copy> moved;
  for (vmm::PageIndex first = 0; first < pages; first += kCompareStep) {
    const vmm::PageRange step{first, std::min(kCompareStep, pages - first)};
    // First clear, then look: a page written in between is compared and sent.
    log.clear_all(step);
    vmm::PageSet here(pages);
    memory.add_populated(step, here);
    found.must_send |= here;
    const std::vector<PageHash> hashes = hash_pages(memory, here, here, image_->key);
    auto hash = hashes.begin();
    for (const vmm::PageRange& range : here.ranges(step)) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
        const ContentIndex::Place place = index.find(page, *hash);
        if (place.match == ContentIndex::Match::same) found.same.set(page);
        const bool elsewhere = place.match == ContentIndex::Match::elsewhere;
        // A zero page costs less than a copy of one, on the wire and in memory.
        if (elsewhere && *hash != zero) moved.push_back({page, place.page, 1});
        ++hash;
      }
    }
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    parts_.check_guest();
  }
  co_await send_copies(plan_copies(std::move(moved)), found.copied);
  // What is held there and never was touched here has to become zero.
  found.must_send |= image_->held;
  found.must_send -= found.same;
  found.must_send -= found.copied;
  co_return found;
}

asio::awaitable<void> Comparison::send_copies(const CopyPlan& plan, vmm::PageSet& copied) {
  if (plan.copies.empty()) co_return;
  for (std::size_t at = 0; at < plan.copies.size(); at += wire::kMaxCopies) {
    const auto piece =
        std::span(plan.copies).subspan(at, std::min(wire::kMaxCopies, plan.copies.size() - at));
    parts_.link.control().send(FrameType::copies, wire::encode_copies(piece));
    co_await parts_.link.control().drained();
    for (const Copy& copy : piece) copied.set(vmm::PageRange{copy.to, copy.count});
  }
  // None of the first round's pages may overwrite one that is still to be copied from.
  parts_.link.control().send(FrameType::copies, wire::encode_copies({}));
  const Frame done = co_await parts_.link.expect(FrameType::landed);
  if (wire::decode_round(done.payload) != 0) {
    throw wire::ProtocolError("the destination acknowledged a round instead of the copies");
  }
}

}  // namespace migration
