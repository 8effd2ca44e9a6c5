#include "migration/destination/receiver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/base/options.hpp"
#include "migration/net/event_loop.hpp"
#include "migration/reuse/store_files.hpp"
#include "vmm/machine/machine_config.hpp"

namespace migration {

namespace asio = boost::asio;
using net::Connection;
using net::Frame;
using wire::FrameType;

namespace {

/// For so long, or the timeout if that is shorter, a connection may take to say what it wants.
constexpr std::chrono::milliseconds kStrangerPatience{10'000};
/// What an offer needs of the image store and of the ledger of promised room may be locked for so
/// long, or half the timeout if that is shorter: the source waits for the answer.
constexpr std::chrono::milliseconds kLockPatience{5'000};
/// How long a broken page channel waits for the source to say why.
constexpr std::chrono::milliseconds kSourceGrace{500};

IncomingMigration::Failure describe(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const wire::ProtocolError& error) {
    return {error.what(), true};
  } catch (const std::exception& error) {
    return {error.what()};
  }
}

}  // namespace

IncomingMigration::Receiver::Receiver(ReceiveOptions options, MachineFactory factory,
                                      Callbacks callbacks)
    : options_(std::move(options)),
      factory_(std::move(factory)),
      callbacks_(std::move(callbacks)),
      grace_(context_),
      incarnation_(vmm::make_uuid()),
      strangers_told_(context_),
      word_(context_),
      progress_(context_),
      patience_(context_) {
  if (const auto known = net::endpoints_of(options_.listen); !known.empty()) {
    listener_.emplace(context_, options_.listen, known);
  } else {
    detail_ = fmt::format("looks {} up, to listen there", options_.listen.host);
  }
  net::spawn(context_.get_executor(), open());
  const auto loop = [this] {
    net::run(context_, [this](const std::exception_ptr& failure) { escaped(failure); });
  };
  thread_ = vmm::Thread(vmm::ThreadRole::migration, loop, vmm::nothing_escapes);
}

IncomingMigration::Receiver::~Receiver() {
  context_.stop();
  thread_.join();
  channels_.clear();
}

/// What nobody has caught is the end of the link and no more: what follows from that is settled as
/// after any other loss.
void IncomingMigration::Receiver::escaped(const std::exception_ptr& failure) {
  const std::string why = "a fault within the migration: " + net::what(failure);
  callbacks_.message(why);
  if (control_) return control_->close(failure);
  link_lost({why});
}

asio::awaitable<void> IncomingMigration::Receiver::serve(ConnectionPtr connection) {
  try {
    switch (co_await connection->welcome(std::min(options_.timeout, kStrangerPatience))) {
      case wire::Role::control: co_await serve_control(connection); break;
      case wire::Role::pages: co_await serve_channel(connection); break;
      case wire::Role::inquiry: co_await serve_inquiry(connection); break;
      case wire::Role::faults: co_await serve_faults(connection); break;
    }
  } catch (const std::exception& error) {
    if (connection == control_) {
      link_lost(describe(std::current_exception()));
    } else if (!adopted_.contains(connection.get())) {
      tell_of_stranger(fmt::format("dropped a connection: {}", error.what()));
    }
  }
  if (adopted_.erase(connection.get()) > 0) {
    try {
      co_await connection->drained();  // the source is to hear why
    } catch (const std::exception&) {
      // It is the link that was lost.
    }
  }
  strangers_.remove(connection);
  connection->close();
}

IncomingMigration::Receiver::ConnectionPtr IncomingMigration::Receiver::adopt(
    const ConnectionPtr& connection) {
  adopted_.insert(connection.get());
  strangers_.remove(connection);
  return std::exchange(control_, connection);
}

asio::awaitable<void> IncomingMigration::Receiver::serve_channel(ConnectionPtr connection) {
  const Frame frame =
      co_await connection->first_frame(FrameType::channel, "the peer named no channel");
  const wire::Channel channel = wire::decode_channel(frame.payload);
  if (!taking_pages() || channel.token != offer_.token || channel.index >= offer_.channels ||
      !opened_.insert(channel.index).second) {
    throw wire::ProtocolError("the peer opened a channel that nobody expects");
  }
  channels_.push_back(std::make_unique<PageReceiver>(
      connection->release(), *target_, make_sink(),
      [this, link = link_](std::uint32_t round, std::exception_ptr failure) {
        asio::post(context_, [this, link, round, failure] {
          if (link != link_) return;
          if (failure) {
            channel_failed(failure);
          } else {
            channel_landed(round);
          }
        });
      }));
}

asio::awaitable<void> IncomingMigration::Receiver::serve_control(ConnectionPtr connection) {
  const Frame first = co_await connection->first_frame(FrameType::offer, "the peer offered no VM");
  wire::Accept accept;
  accept.incarnation = incarnation_;
  std::string refusal;
  try {
    take_offer(wire::decode<wire::Offer>(first.payload), accept);
  } catch (const std::exception& error) {
    refusal = error.what();
    if (stage() == Stage::listening) drop_machine();
  }
  if (!refusal.empty()) {
    tell_of_stranger("refused a VM: " + refusal);
    connection->send(FrameType::refused, wire::encode(wire::Reason{refusal}));
    co_await connection->drained();
    co_return;
  }
  adopt(connection);
  connection->keep_alive();
  accept.no_post_copy = open_userfault();
  accept.features = offer_.features & wire::Features::all();
  accept.timeout = options_.timeout;
  connection->send(FrameType::accept, wire::encode(accept));
  co_await send_image(connection, accept);
  // With an image not before the list of what is missing, which tells what of it does not hold.
  const bool early = offer_.mode == to_string(Mode::post_copy) && !image_;
  if (early && userfault_) start_fetcher();
  co_await listen_to_source(connection);
}

void IncomingMigration::Receiver::take_offer(const wire::Offer& offer, wire::Accept& accept) {
  if (!allows(Event::offer)) {
    throw std::runtime_error("this receiver already has a VM: start another 'ferry receive'");
  }
  vmm::MachineConfig config;
  try {
    config = vmm::machine_config_from_json(offer.config);
  } catch (const std::invalid_argument& error) {
    throw wire::ProtocolError(fmt::format("unsound machine configuration: {}", error.what()));
  }
  Status::Receiving offered{config.id, config.name, config.cpus, config.memory_bytes};
  offer_ = offer;
  const store::LockDeadline deadline(std::min(kLockPatience, options_.timeout / 2));
  machine_ =
      factory_(std::move(config), offer.used_bytes, [this](const vmm::MachineConfig& checked) {
        return make_ram(checked.id, checked.memory_bytes);
      });
  target_ = std::make_unique<PageTarget>(machine_->memory());
  ram_pages_ = machine_->memory().page_count();
  given_up_ = vmm::PageSet(ram_pages_);
  use_image(accept);
  track_changes();
  happened(Event::offer);
  const std::lock_guard lock(mutex_);
  detail_ = fmt::format("receiving '{}'", offered.name);
  offered_ = std::move(offered);
  tally_ = target_->tally;
}

/// Of an offer that was refused: another may be taken.
void IncomingMigration::Receiver::drop_machine() {
  target_.reset();
  hashes_.reset();
  image_.reset();
  offer_ = {};
  if (!machine_) return;
  machine_.reset();
  callbacks_.refused();
}

void IncomingMigration::Receiver::take_frame(const Frame& frame) {
  const bool receiving = stage() == Stage::receiving;
  switch (frame.type) {
    case FrameType::state:
      if (!receiving || state_) break;
      state_ = wire::decode_state(frame.payload);
      return prepare_if_complete();
    case FrameType::digests:
      if (!receiving || !offer_.verify) break;
      if (!verifier_) verifier_.emplace(machine_->memory());
      return verifier_->check(wire::decode_digests(frame.payload, machine_->memory().page_count()));
    case FrameType::last_round:
      if (!receiving || last_round_) break;
      last_round_ = wire::decode_round(frame.payload);
      return prepare_if_complete();
    case FrameType::hashes:
      if (!receiving || !hashes_) break;
      return compare(frame);
    case FrameType::copies:
      if (!receiving || !image_ || round_ != 1 || fetcher_ || copies_over_) break;
      return take_copies(frame);
    case FrameType::dropped:
      if (!has_keeper()) break;
      return take_given_up(frame);
    case FrameType::missing:
      if (!receiving || last_round_ || !(userfault_ || fetcher_)) break;
      return take_missing(frame);
    case FrameType::post_copy:
      if (!receiving || last_round_ || !fetcher_) break;
      last_round_ = wire::decode_round(frame.payload);
      post_copy_ = true;
      check_room_for_missing();
      fetcher_->told_all();
      if (faults_socket_) return connect_faults();
      return prepare_if_complete();
    case FrameType::report:
      if (!is_whole()) break;
      return take_report(frame);
    case FrameType::commit: return take_word(frame, Event::commit);
    case FrameType::abort: return take_word(frame, Event::abort);
    case FrameType::released: return take_word(frame, Event::released);
    default: break;
  }
  throw wire::ProtocolError(fmt::format("the source sent a frame of type {} out of turn",
                                        static_cast<unsigned>(frame.type)));
}

void IncomingMigration::Receiver::channel_landed(std::uint32_t round) {
  if (stage() != Stage::receiving && !fetching()) return;
  if (round != round_) {
    return link_lost({"a page channel is in another round than the others", true});
  }
  if (++channels_done_ < offer_.channels || fetching()) return;
  channels_done_ = 0;
  target_->tally->round = ++round_;
  target_->in_round = 0;
  control_->send(FrameType::landed, wire::encode_round(round));
  prepare_if_complete();
}

/// A source that aborts closes everything; its reason, on the control connection, may come a moment
/// after the page channels break.
void IncomingMigration::Receiver::channel_failed(std::exception_ptr failure) {
  // After the last page the source may close its page channels at any time.
  if (!taking_pages()) return;
  grace_.expires_after(kSourceGrace);
  grace_.async_wait([this, link = link_, failure](boost::system::error_code cancelled) {
    if (!cancelled && link == link_ && taking_pages()) page_connection_lost(failure);
  });
}

bool IncomingMigration::Receiver::taking_pages() const {
  const Stage now = stage();
  if (now == Stage::receiving) return !last_round_ || round_ <= *last_round_ || post_copy_;
  return now == Stage::lacking || now == Stage::lacking_unlinked || fetching();
}

bool IncomingMigration::Receiver::awaits_connections() const {
  if (!taking_pages()) return false;
  return opened_.size() < offer_.channels || (post_copy_ && !faults_connected_);
}

void IncomingMigration::Receiver::page_connection_lost(const std::exception_ptr& failure) {
  if (fetching() && fetcher_->has_all()) return;  // it is not needed any more
  if (const Stage now = stage(); now != Stage::lacking && now != Stage::lacking_unlinked) {
    return link_lost(describe(failure));
  }
  // The source shall notice that it is not connected any more.
  if (control_) control_->close(failure);
}

bool IncomingMigration::Receiver::is_whole() const {
  const Stage now = stage();
  return now == Stage::running || now == Stage::settled || now == Stage::ended;
}

}  // namespace migration
