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

/// The source's part of post-copy: when pre-copy goes over to it, which pages the destination then
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

OutgoingMigration::Source::Stage OutgoingMigration::Source::stage() const {
  const std::lock_guard lock(mutex_);
  return stage_;
}

std::optional<std::string> OutgoingMigration::Source::reason_to_switch(const Decision& decision,
                                                                       std::uint64_t dirty_pages,
                                                                       std::uint64_t hot_pages) {
  if (options_.mode == Mode::hybrid) {
    if (round_ < options_.max_rounds) return std::nullopt;
    return fmt::format("after {} round{} of pre-copy, as asked for", round_,
                       round_ == 1 ? "" : "s");
  }
  if (options_.mode != Mode::automatic || !no_post_copy_.empty()) return std::nullopt;
  if (switched_) return switched_;
  const auto sent = static_cast<double>(counters_.raw + counters_.compressed) * vmm::kPageSize;
  const bool vain = switch_policy_.in_vain(static_cast<double>(dirty_pages) * vmm::kPageSize, sent);
  if (vain && decision.step != Step::stop) {
    return fmt::format("the guest writes pages as fast as they are sent (after round {})", round_);
  }
  // Sending what was held back is in vain too if it takes longer than the guest to write it again.
  const ConvergenceInput hot = measure(hot_pages);
  if (decision.step != Step::stop && hot.remaining_bytes > hot.bytes_per_second * hot_seconds_) {
    return fmt::format("the guest writes {} pages again sooner than they are sent (after round {})",
                       hot_pages, round_);
  }
  if (decision.step == Step::post_copy) {
    return fmt::format("the rest does not fit the downtime after {} rounds", round_);
  }
  return std::nullopt;
}

/// Within a round that takes long: how much is left to send, and has sending brought it down?
void OutgoingMigration::Source::look_for_vain_work() {
  if (options_.mode != Mode::automatic || !no_post_copy_.empty() || !copying_ || switched_) return;
  // A migration that has just failed has no log any more.
  if (!machine_ || !machine_->dirty_log().active()) return;
  // With an image the first round is short, and what the log says is not what is left.
  if (round_ == 1 && reuses()) return;
  const auto start = Clock::now();
  if (start < look_again_) return;
  const vmm::PageSet dirty = machine_->dirty_log().harvest();
  look_again_ = Clock::now() + kLookShare * (Clock::now() - start);
  std::uint64_t left = dirty.count();
  if (round_ == 1) {
    // What was not yet taken up counts as dirty, and much of it was never touched.
    const std::uint64_t used = resident_bytes() / vmm::kPageSize;
    left = dirty.count({0, copying_->taken_up()}) + used - std::min(used, copying_->count());
  }
  const auto sent = static_cast<double>(counters_.raw + counters_.compressed) * vmm::kPageSize;
  if (!switch_policy_.in_vain(static_cast<double>(left) * vmm::kPageSize, sent)) return;
  switched_ =
      fmt::format("the guest writes pages as fast as they are sent (within round {})", round_);
  copying_->stop();
}

bool OutgoingMigration::Source::serving() const {
  const std::lock_guard lock(mutex_);
  return stage_ == Stage::serving || (stage_ == Stage::committed && hands_pages_over_) ||
         (stage_ == Stage::in_doubt && ran_there_);
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
    vmm::PageSet again = missing;
    again &= sent_;
    resent_before_ = pages_sent() - sent_.count();
    resent_before_ += again.count();
    handed_over_ = missing.count();
    if (reuses() && !to_travel_) to_travel_ = handed_over_;
    server_ = std::make_unique<PageServer>(shared_, vmm::AtomicPageSet(missing), options_.prepaging,
                                           options_.verify);
    serve_faults();
    landed_at_ = Clock::now();
    reusable_ -= missing;
    copied_ -= missing;
    if (options_.verify) co_await send_digests(&missing);
  } else {
    landed_at_ = Clock::now();
  }
  last_round_told_ = true;
  control_->send(FrameType::post_copy, wire::encode_round(round_));
  co_await control_->drained();  // the destination restores the state meanwhile
  server_->send_now(vmm::pages_at_hand(*machine_, kPagesAtHand));
  const std::lock_guard lock(mutex_);
  report_.phases_ms.last_pages = ms_between(start, landed_at_);
}

void OutgoingMigration::Source::serve_from_now_on(const wire::Running& running) {
  take_running(running);
  const std::lock_guard lock(mutex_);
  stage_ = Stage::serving;
  commit_out_ = false;
  report_.outcome = Outcome::running;
  report_.error = std::nullopt;
  report_.owner = is_there() + "; pages that it lacks are still here";
}

/// Until the destination has every page; throws when the link is lost.
asio::awaitable<void> OutgoingMigration::Source::serve() {
  const auto round = server_->round(running_.round);
  for (const auto& sender : senders_) sender->start(round);
  while (running_.missing > 0) {
    phase(fmt::format("{} missing", running_.missing));
    const Frame frame = co_await control_->receive();
    if (frame.type == FrameType::ended) {
      co_return guest_ended_there(wire::decode<wire::Reason>(frame.payload).reason);
    }
    if (frame.type != FrameType::running) {
      throw wire::ProtocolError("the destination sent something else than how far it is");
    }
    running_ = wire::decode<wire::Running>(frame.payload);
  }
  complete(running_);
}

void OutgoingMigration::Source::guest_ended_there(const std::string& reason) {
  complete(running_);
  options_.keep_in = nullptr;  // it will not come back
  const std::lock_guard lock(mutex_);
  report_.owner = fmt::format("the VM was at {} and has ended: {}", to_string(options_.to), reason);
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

/// The destination lives and runs the VM: the inquiry becomes the control connection. It tells what
/// is missing now; what was on its way when the link broke is so sent again.
asio::awaitable<void> OutgoingMigration::Source::take_up_link(wire::Running running) {
  const std::uint64_t pages = machine_->memory().page_count();
  vmm::PageSet missing(pages);
  std::uint64_t told = 0;
  vmm::PageIndex next = 0;
  while (server_ && told < running.missing && running.missing <= pages) {
    const Frame frame = co_await inquiry_.connection().receive();
    if (frame.type == FrameType::running) {
      running = wire::decode<wire::Running>(frame.payload);
      continue;
    }
    if (frame.type == FrameType::ended) {
      co_return guest_ended_there(wire::decode<wire::Reason>(frame.payload).reason);
    }
    if (frame.type != FrameType::missing) {
      throw wire::ProtocolError("the destination does not say which pages are missing");
    }
    const wire::Missing piece = wire::decode_missing(frame.payload, pages);
    if (piece.range.first < next) throw wire::ProtocolError(kOutOfOrder);
    next = piece.range.end();
    for (const vmm::PageRange& range : piece.pages) {
      told += range.count;
      missing.set(range);
    }
  }
  if (!server_ || told != running.missing || missing.count() != told) {
    throw wire::ProtocolError("the destination's list of missing pages is unsound");
  }
  server_->reset(missing);
  co_await open_faults();
  for (unsigned index = 0; index < options_.channels; ++index) {
    open_channel(index, co_await net::dial(peer_, options_.timeout));
  }
  control_ = inquiry_.take();
  serve_from_now_on(running);
}

}  // namespace migration
