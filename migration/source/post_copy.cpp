#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <stdexcept>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/source/source.hpp"
#include "vmm/machine/pages_at_hand.hpp"

/// The source's part of post-copy: which pages the destination then
/// lacks, serving them once the VM runs there, and taking a lost link up again until the last one
/// has landed.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Pages that go with the state, as the guest will touch them in its first moments: 512 KiB.
constexpr std::size_t kPagesAtHand = 128;

constexpr const char* kOutOfOrder = "the destination's list of missing pages is out of order";

}  // namespace

bool OutgoingMigration::Source::serving() const {
  const std::lock_guard lock(mutex_);
  return Side::serves(handover_.stage()) ||
         (handover_.stage() == Stage::committed && hands_pages_over_);
}

/// All that can be done while the guest still runs. What is dirty now will be missing whatever the
/// guest does until it stops; the destination drops it meanwhile, which takes longer than telling.
asio::awaitable<void> OutgoingMigration::Source::prepare_post_copy() {
  phase("switching");
  const vmm::PageRange all{0, machine_->memory().page_count()};
  if (options_.mode == Mode::post_copy && !reuses()) {
    for (const vmm::PageRange& piece : wire::range_pieces(all)) {
      control_->send(FrameType::missing, wire::encode_all_missing(piece));
    }
    server_ = std::make_unique<PageServer>(shared_, vmm::AtomicPageSet(all.count, true),
                                           options_.prepaging, options_.verify);
  } else {
    told_missing_ = harvest_unsent();
    tell_missing(told_missing_);
  }
  co_await open_faults();
  co_await control_->drained();
}

void OutgoingMigration::Source::tell_missing(const vmm::PageSet& missing) {
  std::vector<vmm::PageRange> pieces = wire::bitmap_pieces(missing);
  // One frame always goes: it is how the destination learns that pages may be missing.
  if (pieces.empty()) pieces.push_back({0, std::min<std::uint64_t>(64, missing.pages())});
  for (const vmm::PageRange& piece : pieces) {
    control_->send(FrameType::missing, wire::encode_missing(piece, missing));
  }
}

asio::awaitable<void> OutgoingMigration::Source::open_faults() {
  faults_ = co_await net::dial(peer_, options_.timeout);
  // At once: the destination hangs up on who does not say what he wants.
  wire::Bytes greeting = wire::encode_preamble(wire::Role::faults);
  wire::put_frame(greeting, FrameType::channel, wire::encode_channel(token_, 0));
  co_await asio::async_write(*faults_, asio::buffer(greeting), asio::use_awaitable);
  closed_bytes_ += greeting.size();
  if (server_) serve_faults();
}

void OutgoingMigration::Source::serve_faults() {
  server_->serve(std::move(*faults_), [this, link = link_](std::exception_ptr failure) {
    asio::post(context_, [this, link, failure] { channel_failed(link, failure); });
  });
  faults_.reset();
}

/// The guest is stopped and its state saved: what else became dirty, and that this is all.
asio::awaitable<void> OutgoingMigration::Source::tell_rest() {
  const auto start = Clock::now();
  if (!server_) {
    vmm::PageSet missing = machine_->dirty_log().harvest();
    missing |= told_missing_;
    vmm::PageSet news = missing;
    news -= told_missing_;
    if (!news.empty()) tell_missing(news);
    resent_before_ = pages_sent() - pages_.sent() + pages_.sent_of(missing);
    handed_over_ = missing.count();
    if (reuses() && !to_travel_) to_travel_ = handed_over_;
    server_ = std::make_unique<PageServer>(shared_, vmm::AtomicPageSet(missing), options_.prepaging,
                                           options_.verify);
    serve_faults();
    landed_at_ = Clock::now();
    pages_.missing(missing);
    if (options_.verify) co_await send_digests(&missing);
  } else {
    landed_at_ = Clock::now();
  }
  bound_stop(kPagesAtHand);
  last_round_ = driver_.round();
  happened(Event::all_sent);
  co_await control_->drained();  // the destination restores the state meanwhile
  server_->send_now(vmm::pages_at_hand(*machine_, kPagesAtHand));
  const std::lock_guard lock(mutex_);
  report_.phases_ms.last_pages = ms_between(start, landed_at_);
}

/// Until the destination has every page; throws when the link is lost.
asio::awaitable<void> OutgoingMigration::Source::serve() {
  {
    const std::lock_guard lock(mutex_);
    report_.outcome = Outcome::running;
    report_.error = std::nullopt;
    report_.owner = is_there() + "; pages that it lacks are still here";
  }
  const auto round = server_->round(running_.round);
  for (const auto& sender : senders_) sender->start(round);
  while (stage() == Stage::serving) {
    phase(fmt::format("{} missing", running_.missing));
    take_word(co_await control_->receive());
  }
}

/// The page and fault connections: whatever they tell from now on is of no interest.
void OutgoingMigration::Source::drop_page_connections() {
  ++link_;
  if (server_) server_->hang_up();  // a channel may wait for pages to be asked for
  grace_.cancel();
  limiter_.stop();  // or for its turn
  senders_.clear();
  limiter_.restart();
}

void OutgoingMigration::Source::drop_connections() {
  drop_page_connections();
  if (!control_) return;
  control_->close();
  closed_bytes_ += control_->bytes_sent();
  closed_bytes_back_ += control_->bytes_received();
  control_ = nullptr;
}

/// The destination lives and runs the VM. It tells what is missing now; what was on its way when
/// the link broke is so sent again.
asio::awaitable<void> OutgoingMigration::Source::take_up_link() {
  const std::uint64_t pages = machine_->memory().page_count();
  vmm::PageSet missing(pages);
  std::uint64_t told = 0;
  vmm::PageIndex next = 0;
  while (told < running_.missing && running_.missing <= pages) {
    const Frame frame = co_await control_->receive();
    if (frame.type != FrameType::missing) {
      take_word(frame);
      if (stage() != Stage::serving) co_return;
      continue;
    }
    const wire::Missing piece = wire::decode_missing(frame.payload, pages);
    if (piece.range.first < next) throw wire::ProtocolError(kOutOfOrder);
    next = piece.range.end();
    for (const vmm::PageRange& range : piece.pages) {
      told += range.count;
      missing.set(range);
    }
  }
  if (told != running_.missing || missing.count() != told) {
    throw wire::ProtocolError("the destination's list of missing pages is unsound");
  }
  server_->reset(missing);
  co_await open_faults();
  for (unsigned index = 0; index < options_.channels; ++index) {
    open_channel(index, co_await net::dial(peer_, options_.timeout));
  }
}

}  // namespace migration
