#include <fmt/format.h>

#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "migration/base/options.hpp"
#include "migration/base/usage.hpp"
#include "migration/destination/destination.hpp"
#include "migration/net/event_loop.hpp"

/// The destination's part of post-copy: what is told of missing pages, and the link that may be
/// lost and taken up again while the VM runs here.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// The source hears so often how far the fetch is.
constexpr std::chrono::milliseconds kTellProgress{200};
/// After RAM could not be made as any other, for want of mappings say: nothing tells when it can.
constexpr std::chrono::seconds kFinishAgain{1};
/// A source that has been away for so many timeouts is taken for gone: the VM is paused.
constexpr int kTimeoutsUntilPaused = 6;
/// Room is looked for so often, as no event tells that there is some.
constexpr std::chrono::milliseconds kLookForRoom{100};

}  // namespace

void DestinationMigration::Destination::start_fetch() {
  const bool empty = offer_.mode == to_string(Mode::post_copy) && !image_.used();
  machine_->set_userfault(fetch_.start(machine_->memory(), offer_.verify, empty));
  // A channel that read into RAM itself would from now on wait for the very pages that it brings.
  channels_->switch_to([this] { return make_sink(); });
}

void DestinationMigration::Destination::on_missing(const Frame& frame) {
  const wire::Missing told = wire::decode_missing(frame.payload, machine_->memory().page_count());
  if (!fetch_.started()) start_fetch();
  fetch_.on_missing(told, channels_->round() == 1 && !image_.used());
}

void DestinationMigration::Destination::on_post_copy(const Frame& frame) {
  loader_->set_last_round(wire::decode_round(frame.payload));
  fetch_.on_post_copy();
  prepare_if_complete();
}

asio::awaitable<void> DestinationMigration::Destination::serve_faults(ConnectionPtr connection) {
  const Frame frame =
      co_await connection->first_frame(FrameType::channel, "the peer named no handover");
  const bool receiving = stage() == Stage::receiving;
  const bool awaited = (receiving || fetching()) &&
                       wire::decode_channel(frame.payload).token == offer_.token &&
                       fetch_.awaits_connection();
  if (!awaited) throw wire::ProtocolError("the peer opened a fault connection that nobody expects");
  fetch_.connect(connection->release());
  if (receiving) prepare_if_complete();
}

void DestinationMigration::Destination::faults_lost(const std::exception_ptr& failure) {
  if (fetching() && fetch_.has_all()) return finish_again();
  if (taking_pages()) page_connection_lost(failure);
}

/// All pages are here, but RAM is not yet as any other: what was in the way may pass.
void DestinationMigration::Destination::finish_again() {
  patience_.expires_after(kFinishAgain);
  patience_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled && fetching()) fetch_.complete_again();
  });
}

void DestinationMigration::Destination::tell_progress() {
  progress_.expires_after(kTellProgress);
  progress_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !fetching()) return;
    if (fetch_.missing() > 0) link_.send(FrameType::running, wire::encode(running_now()));
    tell_progress();
  });
}

/// The last page has landed: from here on this is a VM like any other.
void DestinationMigration::Destination::all_here() {
  if (!fetching()) return;
  channels_->finish();
  progress_.cancel();
  patience_.cancel();
  fetch_.finish();
  happened(Event::all_here);  // first: the VM must not go on before the source knows
  callbacks_.complete();
}

const char* DestinationMigration::Destination::is_here() const {
  return offer_.paused ? "the VM is here, paused as it was" : "the VM runs here";
}

wire::Running DestinationMigration::Destination::running_now() const {
  const LatencyHistogram latencies = fetch_.latencies();
  return {.incarnation = incarnation_,
          .cpu_seconds = cpu_seconds(),
          .peak_rss = peak_rss_bytes(),
          .missing = fetch_.missing(),
          .round = channels_->round(),
          .faults = {latencies.count(), latencies.percentile(50), latencies.percentile(99),
                     latencies.max()}};
}

void DestinationMigration::Destination::drop_page_connections() {
  channels_->renew();
  fetch_.disconnect();
}

void DestinationMigration::Destination::fetch_link_lost() {
  drop_page_connections();
  const std::string what = fmt::format(
      "{}, but {} of its pages are still at the source and the link to it is lost "
      "({}). A vCPU that touches one of them waits; the source is expected to come back",
      is_here(), fetch_.missing(), failure_.why);
  board_.show(what);
  callbacks_.message(what);
  watch_patience();
}

void DestinationMigration::Destination::watch_patience() {
  patience_.expires_after(kTimeoutsUntilPaused * options_.timeout);
  patience_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !fetching()) return;
    const std::string what = fmt::format(
        "the source has not come back: the VM is paused here, with {} of its pages missing. It "
        "goes on when the source reconnects; a source that is gone for good takes these pages "
        "with it",
        fetch_.missing());
    board_.show(what);
    callbacks_.message(what);
    callbacks_.waiting_for_source(true);
  });
}

/// The source has come back with an inquiry. What is left of the page connections of before it has
/// given up.
void DestinationMigration::Destination::take_up_link(const ConnectionPtr& connection) {
  drop_page_connections();
  patience_.cancel();
  callbacks_.waiting_for_source(false);
  net::spawn(context_.get_executor(), tell_what_is_missing(connection));
}

/// Without room the link would be lost again at once, and again.
asio::awaitable<void> DestinationMigration::Destination::wait_for_room(ConnectionPtr connection) {
  if (fetch_.has_room()) co_return;
  const std::string what = fmt::format(
      "{}, and {} of its pages wait at the source for room in the image store {}, which "
      "others have filled: make room there. A vCPU that touches one of them waits too",
      is_here(), fetch_.missing(), options_.image_store->path());
  board_.show(what);
  fetch_.set_waits_for_room(true);
  callbacks_.message(what);
  asio::steady_timer timer(context_);
  while (fetch_.started() && link_.is(connection) && !fetch_.has_room()) {
    timer.expires_after(kLookForRoom);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> DestinationMigration::Destination::tell_what_is_missing(
    ConnectionPtr connection) {
  co_await wait_for_room(connection);
  if (!fetch_.started() || !link_.is(connection)) co_return;  // the source has come back once more
  board_.show(
      fmt::format("{}; the source is back and sends the pages that are missing", is_here()));
  fetch_.set_waits_for_room(false);
  const vmm::PageSet missing = fetch_.missing_pages();
  if (!missing.empty()) {
    callbacks_.message(
        fmt::format("the source is back and sends the {} pages that are missing", missing.count()));
  }
  wire::Running running = running_now();
  running.missing = missing.count();
  connection->send(FrameType::running, wire::encode(running));
  for (const vmm::PageRange& piece : wire::bitmap_pieces(missing)) {
    connection->send(FrameType::missing, wire::encode_missing(piece, missing));
  }
}

}  // namespace migration
