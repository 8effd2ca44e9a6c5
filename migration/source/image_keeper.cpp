#include "migration/source/image_keeper.hpp"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/net/event_loop.hpp"
#include "migration/source/inquiry.hpp"

namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Pages to drop are gathered for so long: each drop makes a new manifest durable.
constexpr std::chrono::milliseconds kGather{300};
/// Between two attempts to reach the VM; each further one waits longer.
constexpr std::chrono::milliseconds kFirstRedial{100};
constexpr std::chrono::milliseconds kLongestRedial{5'000};

}  // namespace

ImageKeeper::ImageKeeper(asio::io_context& loop, Image image, Peer peer, Message message)
    : loop_(loop),
      image_(std::move(image)),
      peer_(std::move(peer)),
      message_(std::move(message)),
      to_drop_(image_.hashes.held().pages()),
      dropped_(image_.hashes.held().pages()),
      drop_timer_(loop),
      retry_(loop) {}

asio::awaitable<void> ImageKeeper::run(std::shared_ptr<net::Connection> control) {
  control_ = std::move(control);
  net::spawn(loop_.get_executor(), watch_store());
  std::chrono::milliseconds delay = kFirstRedial;
  while (kept_) {
    try {
      if (!control_) co_await connect();
      if (!kept_) co_return;
      const Frame frame = co_await control_->receive();
      if (frame.type == FrameType::running) continue;  // the answer to an inquiry ends with it
      take_changes(frame);
      delay = kFirstRedial;
      continue;
    } catch (const std::exception&) {
      // Nothing breaks by that: what was not told is settled at the VM's return.
    }
    if (control_) std::exchange(control_, nullptr)->close();
    if (!kept_) co_return;
    retry_.expires_after(delay);
    delay = std::min(delay * 2, kLongestRedial);
    boost::system::error_code cancelled;
    co_await retry_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
}

asio::awaitable<void> ImageKeeper::connect() {
  net::Socket socket = co_await net::dial(peer_.to, peer_.timeout);
  asking_ = std::make_shared<net::Connection>(std::move(socket), peer_.timeout);
  const wire::Inquire question{image_.token, peer_.incarnation, true};
  if (co_await ask(*asking_, question, peer_.timeout) != wire::VmStatus::running) {
    throw std::runtime_error("the VM does not run there any more");
  }
  control_ = std::exchange(asking_, nullptr);
  dropped_.clear();  // it is told of these again, if it has not heard of them
}

void ImageKeeper::look_at(Address to) {
  peer_.to = std::move(to);
  retry_.cancel();
}

asio::awaitable<void> ImageKeeper::watch_store() {
  try {
    const int watch = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0) throw std::system_error(errno, std::generic_category(), "inotify");
    asio::posix::stream_descriptor events(loop_, watch);
    if (::inotify_add_watch(events.native_handle(), image_.store->path().c_str(),
                            IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO) < 0) {
      throw std::system_error(errno, std::generic_category(), "inotify");
    }
    std::array<std::byte, 4096> ignored{};
    while (kept_ && image_.store->has(image_.vm_id, image_.token)) {
      co_await events.async_read_some(asio::buffer(ignored), asio::use_awaitable);
    }
  } catch (const std::exception& error) {
    message_(fmt::format("the image is kept on, but not watched over: {}", error.what()));
  }
  release();
}

/// The image is not this process's to keep any more.
void ImageKeeper::release() {
  kept_ = false;
  retry_.cancel();
  drop_timer_.cancel();
  if (control_) control_->close();
  if (asking_) asking_->close();
}

/// Rule 1 of the paper: what the guest has changed over there cannot be reused. The destination
/// names what it may have changed; the hashes tell.
void ImageKeeper::take_changes(const Frame& frame) {
  if (frame.type != FrameType::changed) {
    throw wire::ProtocolError("the destination sent something else than what changed");
  }
  const wire::Hashes pages = wire::decode_hashes(frame.payload, to_drop_.pages());
  auto hash = pages.hashes.begin();
  bool any = false;
  for (const vmm::PageRange& range : pages.ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++hash) {
      if (dropped_.test(page) || image_.hashes.same(page, *hash)) continue;
      to_drop_.set(page);
      any = true;
    }
  }
  if (any && !dropping_) drop_soon();
}

void ImageKeeper::drop_soon() {
  dropping_ = true;
  drop_timer_.expires_after(kGather);
  drop_timer_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled) return;
    // What is told waits with the kernel as long as nobody reads it: no more of it meanwhile.
    if (control_ && control_->busy()) return drop_soon();
    dropping_ = false;
    drop_pages();
  });
}

void ImageKeeper::drop_pages() {
  const vmm::PageSet pages = std::exchange(to_drop_, vmm::PageSet(to_drop_.pages()));
  try {
    if (!image_.store->drop_pages(image_.vm_id, image_.token, pages)) return release();
  } catch (const std::exception& error) {
    message_(fmt::format("the image is not kept any more: {}", error.what()));
    return release();
  }
  if (!control_) return;
  dropped_ |= pages;
  for (const vmm::PageRange& piece : wire::bitmap_pieces(pages)) {
    control_->send(FrameType::dropped, wire::encode_missing(piece, pages));
  }
}

}  // namespace migration
