#include "migration/source/link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <thread>
#include <utility>

#include "migration/wire/messages.hpp"

namespace migration::source {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// How long a broken page channel waits for the peer to say why on the control connection.
constexpr std::chrono::milliseconds kReasonGrace{500};
constexpr std::chrono::milliseconds kPaceStep{100};

}  // namespace

Link::Link(asio::io_context& loop, vmm::GuestMemory& memory, const MigrateOptions& options,
           Failure failed)
    : loop_(loop),
      limiter_(options.max_bandwidth),
      channels_(options.channels ? ActiveChannels::all(*options.channels)
                                 : ActiveChannels::as_needed(
                                       channels_to_open(std::thread::hardware_concurrency()))),
      shared_{memory, limiter_, counters_, options.compression, channels_, options.timeout},
      failed_(std::move(failed)),
      grace_(loop) {}

std::uint64_t Link::pages_sent() const { return counters_.pages(); }

void Link::send_duplicates() {
  if (!sent_) shared_.sent = &sent_.emplace(shared_.memory.page_count());
  shared_.duplicates = true;
}

void Link::send_deltas(std::uint64_t cache_bytes) {
  if (!sent_) shared_.sent = &sent_.emplace(shared_.memory.page_count());
  shared_.deltas = &deltas_.emplace(cache_bytes);
}

asio::awaitable<void> Link::dial(Address to) {
  net::Socket socket = co_await net::dial(to, shared_.timeout);
  peer_ = net::peer_address(socket, to);
  control_ = std::make_shared<net::Connection>(std::move(socket), shared_.timeout);
}

asio::awaitable<Frame> Link::expect(FrameType type) {
  co_return checked(co_await control_->receive(), type);
}

Frame Link::checked(Frame frame, FrameType type) {
  if (frame.type == FrameType::refused) {
    throw Refused(wire::decode<wire::Reason>(frame.payload).reason);
  }
  if (frame.type != type) {
    throw wire::ProtocolError(fmt::format("the destination sent a frame of type {} out of turn",
                                          static_cast<unsigned>(frame.type)));
  }
  return frame;
}

void Link::send(FrameType type, std::span<const std::byte> payload) {
  if (control_) control_->send(type, payload);
}

asio::awaitable<void> Link::send_bulk(FrameType type, std::span<const std::byte> payload) {
  control_->send(type, payload);
  bulk_ += payload.size();
  co_await control_->drained();
  co_await pace();
}

asio::awaitable<void> Link::pace() {
  asio::steady_timer timer(loop_);
  for (;;) {
    const auto wait = limiter_.due_in();
    if (wait == decltype(wait)::zero()) co_return;
    // In short steps: the cap may be lifted, or the migration cancelled.
    timer.expires_after(std::min<asio::steady_timer::duration>(wait, kPaceStep));
    co_await timer.async_wait(asio::use_awaitable);
  }
}

std::shared_ptr<net::Connection> Link::release() { return std::exchange(control_, nullptr); }

asio::awaitable<void> Link::open_channels() {
  for (unsigned index = 0; index < channels_.open(); ++index) {
    open_channel(index, co_await net::dial(peer_, shared_.timeout));
  }
}

void Link::open_channel(unsigned index, net::Socket socket) {
  net::tune_bulk(socket);
  wire::Bytes greeting = wire::encode_preamble(wire::Role::pages);
  wire::put_frame(greeting, FrameType::channel, wire::encode_channel(token_, index));
  const auto done = [failed = failure_of_now()](std::exception_ptr failure) {
    if (failure) failed(std::move(failure));
  };
  senders_.push_back(
      std::make_unique<PageSender>(index, std::move(socket), std::move(greeting), shared_, done));
}

/// Says at once what it is for: the destination hangs up on who does not.
asio::awaitable<net::Socket> Link::dial_faults() {
  net::Socket socket = co_await net::dial(peer_, shared_.timeout);
  wire::Bytes greeting = wire::encode_preamble(wire::Role::faults);
  wire::put_frame(greeting, FrameType::channel, wire::encode_channel(token_, 0));
  co_await asio::async_write(socket, asio::buffer(greeting), asio::use_awaitable);
  closed_sent_ += greeting.size();
  co_return socket;
}

void Link::start(const std::shared_ptr<Round>& round) {
  for (const auto& sender : senders_) sender->start(round);
}

Link::Failure Link::failure_of_now() {
  return [this, link = number_](std::exception_ptr failure) {
    asio::post(loop_, [this, link, failure] { channel_failed(link, failure); });
  };
}

/// A peer that refuses closes everything; its reason, on the control connection, may come a moment
/// after the page channels break.
void Link::channel_failed(unsigned link, std::exception_ptr failure) {
  if (link != number_) return;
  grace_.expires_after(kReasonGrace);
  grace_.async_wait([this, link, failure](boost::system::error_code cancelled) {
    if (!cancelled && link == number_) failed_(failure);
  });
}

void Link::drop_channels() {
  ++number_;
  grace_.cancel();
  // A channel may wait for its turn.
  limiter_.stop();
  channels_.stop();
  senders_.clear();
  channels_.restart();
  limiter_.restart();
  forget_sent();
}

/// No round to come builds on an earlier one, while this object may live for days with an image.
void Link::forget_sent() {
  cache_bytes_ = delta_cache_bytes();
  shared_.deltas = nullptr;
  shared_.sent = nullptr;
  deltas_.reset();
  sent_.reset();
}

void Link::drop() {
  drop_channels();
  if (!control_) return;
  control_->close();
  closed_sent_ += control_->bytes_sent();
  closed_received_ += control_->bytes_received();
  control_ = nullptr;
}

std::uint64_t Link::bytes_sent() const {
  return counters_.wire_bytes + closed_sent_ + (control_ ? control_->bytes_sent() : 0);
}

std::uint64_t Link::bytes_received() const {
  return closed_received_ + (control_ ? control_->bytes_received() : 0);
}

}  // namespace migration::source
