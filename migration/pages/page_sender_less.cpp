#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/page_content.hpp"
#include "migration/pages/page_sender.hpp"

/// How a PageSender sends less of a page than all of it, besides compressing it: the difference
/// from what was sent, a reference to a page that is there, or one content for several pages.
namespace migration {

namespace {

using Clock = std::chrono::steady_clock;
using wire::FrameType;

/// Bytes of deltas in one frame, and a delta more.
constexpr std::size_t kMostDeltas = 128 << 10;

double undisturbed_since(Clock::time_point start) {
  return std::min(seconds_since(start), kInterrupted);
}

}  // namespace

bool PageSender::add_delta(vmm::PageIndex page, std::span<const std::byte> copy,
                           std::uint32_t sent) {
  const auto start = Clock::now();
  auto place = shared_.deltas->place_of(page, round_now_->number());
  if (!place.taken()) return false;
  const auto base = place.base(sent);
  std::array<std::byte, kWorthDelta> block{};
  const std::size_t size = base.empty() ? 0 : packer_.codec().pack_delta(copy, base, block);
  if (size != 0) {
    deltas_.add(page);
    wire::put_delta(deltas_.body, digest_of(copy), std::span(block).first(size));
  }
  const bool tried = !base.empty();
  place.store(copy, round_now_->number());
  if (tried) {
    delta_policy_.tried(vmm::kPageSize, size != 0 ? static_cast<double>(size) : vmm::kPageSize,
                        undisturbed_since(start));
  }
  if (deltas_.pages == wire::kMaxDeltaPages || deltas_.body.size() >= kMostDeltas) flush_deltas();
  return size != 0;
}

bool PageSender::add_same(vmm::PageIndex page, std::span<const std::byte> copy) {
  const auto start = Clock::now();
  std::optional<ContentTable>& table = contents_.table();
  if (!table) {
    // At least as many as there are up to this one, which may be about to lose its turn.
    table.emplace(shared_.memory.page_count(), std::max(shared_.channels.active(), index_ + 1));
  }
  const std::uint32_t round = round_now_->number();
  const PageHash hash = contents_.hash_of(copy);
  const auto like = table->find(hash);
  // It has landed in an earlier round and stays as it is in this one, or it is before this page on
  // this channel.
  const bool there = like && (like->round == round || !round_now_->takes_up(like->page)) &&
                     shared_.sent->of(like->page) == like->round;
  if (!there) table->put(hash, {page, round});
  contents_.policy().looked(vmm::kPageSize, there, undisturbed_since(start));
  if (!there) return false;
  same_.add(page);
  wire::put_same(same_.body, like->page, digest_of(copy));
  if (same_.pages == wire::kMaxSamePages) flush_same();
  return true;
}

void PageSender::add_word(vmm::PageIndex page, std::uint64_t word) {
  if (words_.pages == wire::kMaxAlikePages || words_.word != word) flush_words();
  words_.word = word;
  words_.add(page);
}

std::vector<vmm::PageRange> PageSender::add_alike(const std::vector<vmm::PageRange>& pages) {
  struct Hashed {
    PageHash hash;
    vmm::PageIndex page;
  };
  const auto content = [this](vmm::PageIndex page) {
    return std::as_const(shared_.memory).pages({page, 1});
  };
  std::vector<Hashed> all;
  std::vector<vmm::PageIndex> others;
  const auto start = Clock::now();
  for (const vmm::PageRange& range : pages) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      if (is_zero(content(page)) || repeated_word(content(page))) {
        others.push_back(page);
      } else {
        all.push_back({contents_.hash_of(content(page)), page});
      }
    }
  }
  std::ranges::sort(all, {}, [](const Hashed& each) { return std::pair(each.hash, each.page); });
  const double seconds =
      seconds_since(start) / static_cast<double>(std::max<std::size_t>(all.size(), 1));
  for (auto from = all.begin(); from != all.end();) {
    const auto to =
        std::find_if(from, all.end(), [&](const Hashed& each) { return each.hash != from->hash; });
    PageBatch alike;
    for (auto each = from; each != to; ++each) {
      alike.add(each->page);
      contents_.policy().looked(vmm::kPageSize, each != from, seconds);
    }
    if (alike.pages == 1) {
      others.push_back(from->page);
    } else {
      write_alike(alike.ranges, content(from->page));
      ++shared_.counters.raw;
      shared_.counters.same += alike.pages - 1;
      shared_.counters.same_saved += alike.bytes() - vmm::kPageSize;
    }
    from = to;
  }
  std::ranges::sort(others);
  PageBatch rest;
  for (const vmm::PageIndex page : others) rest.add(page);
  return rest.ranges;
}

void PageSender::flush_deltas() {
  if (deltas_.pages == 0) return;
  header_.clear();
  wire::put_page_header(header_, FrameType::pages_delta, deltas_.ranges, deltas_.body.size());
  std::array<iovec, 2> parts{iovec{header_.data(), header_.size()},
                             iovec{deltas_.body.data(), deltas_.body.size()}};
  const std::uint64_t size = header_.size() + deltas_.body.size();
  write(parts);
  shared_.counters.delta += deltas_.pages;
  shared_.counters.delta_saved += deltas_.bytes() - std::min(deltas_.bytes(), size);
  deltas_.clear();
}

/// What they are like may be among what is still gathered: that goes first.
void PageSender::flush_same() {
  if (same_.pages == 0) return;
  flush_copies(shrinking_);
  flush_copies(plain_);
  flush_frames();
  header_.clear();
  wire::put_page_header(header_, FrameType::pages_same, same_.ranges, same_.body.size());
  std::array<iovec, 2> parts{iovec{header_.data(), header_.size()},
                             iovec{same_.body.data(), same_.body.size()}};
  write(parts);
  shared_.counters.same += same_.pages;
  shared_.counters.same_saved += same_.bytes() - header_.size() - same_.body.size();
  same_.clear();
}

void PageSender::flush_words() {
  if (words_.pages == 0) return;
  write_alike(words_.ranges, std::as_bytes(std::span(&words_.word, 1)));
  shared_.counters.compressed += words_.pages;
  words_.clear();
}

void PageSender::write_alike(std::span<const vmm::PageRange> ranges,
                             std::span<const std::byte> content) {
  const std::array first = {vmm::PageRange{ranges.front().first, 1}};
  const auto digests = digests_.of(shared_.memory, first);
  header_.clear();
  wire::put_page_header(header_, FrameType::pages_alike, ranges, digests.size() + content.size());
  std::ranges::copy(digests, std::back_inserter(header_));
  std::ranges::copy(content, std::back_inserter(header_));
  iovec part{header_.data(), header_.size()};
  write({&part, 1});
}

}  // namespace migration
