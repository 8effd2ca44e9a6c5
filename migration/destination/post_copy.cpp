#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/base/options.hpp"
#include "migration/base/usage.hpp"
#include "migration/destination/receiver.hpp"
#include "migration/net/event_loop.hpp"
#include "migration/pages/ram_sink.hpp"

/// The destination's part of post-copy: which pages are missing, the connection by which they are
/// asked for, and the link that may be lost and taken up again while the VM runs here.
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

/// With so much room, or all that is missing, pages are taken again. It is looked at so often, as
/// no event tells.
constexpr std::uint64_t kRoomToGoOn = std::uint64_t{1} << 20;
constexpr std::chrono::milliseconds kLookForRoom{100};

constexpr const char* kNoRoomForRam =
    "the image store has no room for all of the VM's RAM, a part of which stays anonymous memory "
    "therefore: it will be copied when an image of it is kept";

}  // namespace

bool IncomingMigration::Receiver::fetching() const {
  const Stage now = stage();
  return now == Stage::fetching || now == Stage::fetching_unlinked;
}

std::string IncomingMigration::Receiver::open_userfault() {
  const auto mode = mode_from(offer_.mode);
  if (mode == Mode::pre_copy || mode == Mode::stop_and_copy) return {};
  try {
    userfault_ = std::make_shared<const vmm::Userfault>();
    return {};
  } catch (const std::system_error& error) {
    return error.what();
  }
}

/// A file of which the modes that begin with rounds, or an image, have filled a part already is
/// waited for as it is.
std::unique_ptr<FileOverlay> IncomingMigration::Receiver::cover_ram() {
  const bool empty = offer_.mode == to_string(Mode::post_copy) && !image_;
  if (!empty || machine_->memory().file() < 0 || !userfault_->can_protect()) return nullptr;
  try {
    return std::make_unique<FileOverlay>(machine_->memory(), userfault_);
  } catch (const std::system_error&) {
    return nullptr;  // it takes longer without
  }
}

void IncomingMigration::Receiver::start_fetcher() {
  PageFetcher::Callbacks callbacks;
  callbacks.complete = [this](bool settled) {
    asio::post(context_, [this, settled] {
      if (!settled) callbacks_.message(kNoRoomForRam);
      all_here();
    });
  };
  callbacks.failed = [this](std::exception_ptr failure) {
    // The receiver's thread may be waiting for the very pages that now do not come.
    if (loading_) fetcher_->abandon();
    asio::post(context_, [this, failure] { faults_failed(failure); });
  };
  auto fetcher = std::make_unique<PageFetcher>(machine_->memory(), userfault_, cover_ram(),
                                               offer_.verify, options_.timeout, callbacks);
  // The machine keeps it too: it must not run on with zero pages when this side ends.
  machine_->set_userfault(std::exchange(userfault_, nullptr));
  {
    const std::lock_guard lock(mutex_);
    fetcher_ = std::move(fetcher);
  }
  // A channel that read into RAM itself would from now on wait for the very pages that it brings.
  for (const auto& channel : channels_) channel->switch_to(make_sink());
}

std::unique_ptr<PageSink> IncomingMigration::Receiver::make_sink() {
  if (fetcher_) return fetcher_->make_sink();
  return std::make_unique<RamSink>(*target_);
}

void IncomingMigration::Receiver::take_missing(const Frame& frame) {
  const wire::Missing told = wire::decode_missing(frame.payload, ram_pages_);
  // A frame of 8 bytes may tell about all of RAM, which takes time to look through.
  pages_told_ += told.range.count;
  if (pages_told_ > wire::kMaxTimesMissing * ram_pages_) {
    throw wire::ProtocolError("the source tells again and again which pages are missing");
  }
  if (!fetcher_) start_fetcher();
  fetcher_->expect(told.pages, round_ == 1 && !image_);
}

/// The VM cannot go back once it runs here, and would wait for pages that find no room.
void IncomingMigration::Receiver::check_room_for_missing() const {
  if (!options_.image_store || !fetcher_->fills_file()) return;
  const std::uint64_t bytes = fetcher_->missing() * vmm::kPageSize;
  if (options_.image_store->has_room_for(bytes)) return;
  throw std::system_error(
      ENOSPC, std::generic_category(),
      fmt::format("others have filled the image store {}, which has no room for {} KiB of the VM's "
                  "pages that are still at the source",
                  options_.image_store->path(), bytes / 1024));
}

asio::awaitable<void> IncomingMigration::Receiver::serve_faults(ConnectionPtr connection) {
  const Frame frame =
      co_await connection->first_frame(FrameType::channel, "the peer named no handover");
  const bool awaited = (stage() == Stage::receiving || fetching()) &&
                       wire::decode_channel(frame.payload).token == offer_.token &&
                       !faults_connected_ && !faults_socket_;
  if (!awaited) throw wire::ProtocolError("the peer opened a fault connection that nobody expects");
  faults_socket_ = connection->release();
  // Not before all is told that is missing: pages that are may come on it at once.
  if (post_copy_) connect_faults();
}

void IncomingMigration::Receiver::connect_faults() {
  fetcher_->connect(std::move(*faults_socket_));
  faults_socket_.reset();
  faults_connected_ = true;
  if (stage() == Stage::receiving) prepare_if_complete();
}

void IncomingMigration::Receiver::faults_failed(std::exception_ptr failure) {
  if (!fetcher_ || fetcher_->connected()) return;  // it was an earlier connection
  faults_connected_ = false;
  if (fetching() && fetcher_->has_all()) return finish_again();
  if (taking_pages()) page_connection_lost(failure);
}

/// All pages are here, but RAM is not yet as any other: what was in the way may pass.
void IncomingMigration::Receiver::finish_again() {
  patience_.expires_after(kFinishAgain);
  patience_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled && fetching()) fetcher_->told_all();
  });
}

void IncomingMigration::Receiver::tell_progress() {
  progress_.expires_after(kTellProgress);
  progress_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !fetching()) return;
    if (control_ && fetcher_->missing() > 0) {
      control_->send(FrameType::running, wire::encode(running_now()));
    }
    tell_progress();
  });
}

/// The last page has landed: from here on this is a VM like any other.
void IncomingMigration::Receiver::all_here() {
  if (!fetching()) return;
  channels_.clear();
  faults_socket_.reset();
  progress_.cancel();
  patience_.cancel();
  grace_.cancel();
  std::unique_ptr<PageFetcher> fetcher;
  {
    const std::lock_guard lock(mutex_);
    latencies_ = fetcher_->latencies();
    fetcher = std::move(fetcher_);
  }
  fetcher.reset();
  target_.reset();
  callbacks_.complete();
  happened(Event::all_here);
}

const char* IncomingMigration::Receiver::is_here() const {
  return offer_.paused ? "the VM is here, paused as it was" : "the VM runs here";
}

void IncomingMigration::Receiver::drop_page_connections() {
  ++link_;
  channels_.clear();
  opened_.clear();
  channels_done_ = 0;
  fetcher_->disconnect();
  faults_socket_.reset();
  faults_connected_ = false;
  grace_.cancel();
  ++round_;  // the one that was under way will not be ended
  target_->in_round = 0;
}

void IncomingMigration::Receiver::fetch_link_lost() {
  drop_page_connections();
  const std::string what = fmt::format(
      "{}, but {} of its pages are still at the source and the link to it is lost "
      "({}). A vCPU that touches one of them waits; the source is expected to come back",
      is_here(), fetcher_->missing(), failure_.why);
  show(what);
  callbacks_.message(what);
  watch_patience();
}

void IncomingMigration::Receiver::watch_patience() {
  patience_.expires_after(kTimeoutsUntilPaused * options_.timeout);
  patience_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || !fetching()) return;
    const std::string what = fmt::format(
        "the source has not come back: the VM is paused here, with {} of its pages missing. It "
        "goes on when the source reconnects; a source that is gone for good takes these pages "
        "with it",
        fetcher_->missing());
    show(what);
    callbacks_.message(what);
    callbacks_.starving(true);
  });
}

bool IncomingMigration::Receiver::has_room_to_go_on() const {
  if (!options_.image_store || !fetcher_->fills_file()) return true;
  return options_.image_store->has_room_for(
      std::min(fetcher_->missing() * vmm::kPageSize, kRoomToGoOn));
}

/// Without room the link would be lost again at once, and again.
asio::awaitable<void> IncomingMigration::Receiver::wait_for_room(ConnectionPtr connection) {
  if (has_room_to_go_on()) co_return;
  const std::string what = fmt::format(
      "{}, and {} of its pages wait at the source for room in the image store {}, which "
      "others have filled: make room there. A vCPU that touches one of them waits too",
      is_here(), fetcher_->missing(), options_.image_store->path());
  {
    const std::lock_guard lock(mutex_);
    waits_for_room_ = true;
    detail_ = what;
  }
  callbacks_.message(what);
  asio::steady_timer timer(context_);
  while (fetcher_ && connection == control_ && !has_room_to_go_on()) {
    timer.expires_after(kLookForRoom);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

/// The source has come back with an inquiry. What is left of the page connections of before it has
/// given up.
void IncomingMigration::Receiver::take_up_link(const ConnectionPtr& connection) {
  drop_page_connections();
  patience_.cancel();
  callbacks_.starving(false);
  net::spawn(context_.get_executor(), tell_what_is_missing(connection));
}

asio::awaitable<void> IncomingMigration::Receiver::tell_what_is_missing(ConnectionPtr connection) {
  co_await wait_for_room(connection);
  if (!fetcher_ || connection != control_) co_return;  // the source has come back once more
  {
    const std::lock_guard lock(mutex_);
    waits_for_room_ = false;
    detail_ = fmt::format("{}; the source is back and sends the pages that are missing", is_here());
  }
  const vmm::PageSet missing = fetcher_->missing_pages();
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

std::optional<IncomingMigration::Status::Fetching> IncomingMigration::Receiver::fetching_status()
    const {
  if (fetcher_) {
    return Status::Fetching{fetcher_->missing(), fetcher_->latencies(),
                            handover_.stage() == Stage::fetching_unlinked, waits_for_room_};
  }
  if (!post_copy_) return std::nullopt;
  return Status::Fetching{0, latencies_};
}

}  // namespace migration
