#include "migration/destination/destination.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/base/options.hpp"
#include "migration/net/errand.hpp"
#include "migration/net/event_loop.hpp"
#include "migration/reuse/store_files.hpp"
#include "vmm/machine/machine_config.hpp"

/// Who comes in, and the offer of a VM.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// What an offer needs of the image store and of the ledger of promised room may be locked for so
/// long, or half the timeout if that is shorter: the source waits for the answer.
constexpr std::chrono::milliseconds kLockPatience{5'000};

/// Of the timeout: the source waits for the answer.
constexpr double kTimeToOpen = 0.75;

constexpr const char* kHasAVm = "this receiver already has a VM: start another 'ferry receive'";
constexpr const char* kNoDescriptor =
    "it did not come with the offer: is there a proxy between the two?";
constexpr const char* kNoRoomForRam =
    "the image store has no room for all of the VM's RAM, a part of which stays anonymous memory "
    "therefore: it will be copied when an image of it is kept";

}  // namespace

DestinationMigration::Destination::Destination(ReceiveOptions options, MachineFactory factory,
                                               Callbacks callbacks)
    : options_(std::move(options)),
      factory_(std::move(factory)),
      callbacks_(std::move(callbacks)),
      incarnation_(vmm::make_uuid()),
      door_(context_, options_.listen, options_.timeout, door_callbacks()),
      word_(context_, {.awaited =
                           [this] {
                             const Stage now = stage();
                             return (now == Stage::prepared || now == Stage::lacking) && !slept();
                           },
                       .overdue =
                           [this] {
                             happened(Event::overdue,
                                      {"the source does not say what becomes of the VM"});
                           }}),
      farewell_(context_),
      image_(options_.image_store, callbacks_.message),
      image_keeper_(context_,
                    {.came = callbacks_.image_keeper_came, .dropped = callbacks_.dropped}),
      fetch_(context_, options_.timeout, options_.image_store,
             {.complete =
                  [this](bool file_again) {
                    if (!file_again) callbacks_.message(kNoRoomForRam);
                    all_here();
                  },
              .lost = [this](const std::exception_ptr& failure) { faults_lost(failure); }}),
      progress_(context_),
      patience_(context_) {
  if (!door_.listens()) {
    board_.show(fmt::format("looks {} up, to listen there", options_.listen.host));
  }
  door_.open();
  const auto loop = [this] {
    // What is asked of this object is done in the loop, also when nothing is listened to any more.
    const auto guard = asio::make_work_guard(context_);
    net::run(context_, [this](const std::exception_ptr& failure) { escaped(failure); });
  };
  thread_ = vmm::Thread(vmm::ThreadRole::migration, loop, vmm::nothing_escapes);
}

DestinationMigration::Destination::~Destination() {
  context_.stop();
  thread_.join();
}

destination::Door::Callbacks DestinationMigration::Destination::door_callbacks() {
  return {.listening =
              [this](const Address& address) {
                board_.show("waits for a VM");
                board_.show_address(address);
                callbacks_.listening(address);
              },
          .failed = [this](const std::system_error& error) { cannot_listen(error); },
          .stuck =
              [this](const std::string& what) {
                // The source would wait for its connections without end: its signs of life go on.
                if (awaits_connections()) link_lost({what});
              },
          .serve = [this](ConnectionPtr connection,
                          wire::Role role) { return serve(std::move(connection), role); },
          .message = callbacks_.message};
}

void DestinationMigration::Destination::cannot_listen(const std::system_error& error) {
  const int code = error.code().value();
  board_.show(error.what());
  callbacks_.failed({error.what(), false, code == EACCES || code == EPERM});
}

/// What nobody has caught is the end of the link and no more: what follows from that is settled as
/// after any other loss.
void DestinationMigration::Destination::escaped(const std::exception_ptr& failure) {
  const std::string why = "a fault within the migration: " + net::what(failure);
  callbacks_.message(why);
  if (link_.is_up()) return link_.close(failure);
  link_lost({why});
}

asio::awaitable<void> DestinationMigration::Destination::serve(ConnectionPtr connection,
                                                               wire::Role role) {
  switch (role) {
    case wire::Role::control: return serve_control(std::move(connection));
    case wire::Role::pages: return serve_channel(std::move(connection));
    case wire::Role::inquiry: return serve_inquiry(std::move(connection));
    case wire::Role::probe: return serve_probe(std::move(connection));
    case wire::Role::faults: break;
  }
  return serve_faults(std::move(connection));
}

asio::awaitable<void> DestinationMigration::Destination::serve_link(ConnectionPtr connection,
                                                                    asio::awaitable<void> talk) {
  door_.let_in(connection);
  link_.take_over(connection);
  try {
    co_await std::move(talk);
  } catch (const std::exception&) {
    if (link_.is(connection)) lose_link(std::current_exception());
  }
  try {
    co_await connection->drained();  // the source is to hear why
  } catch (const std::exception&) {
    // It is the link that was lost.
  }
}

void DestinationMigration::Destination::lose_link(const std::exception_ptr& failure) {
  try {
    link_lost(failure_of(failure));
  } catch (const std::exception&) {
    escaped(std::current_exception());
  }
}

asio::awaitable<void> DestinationMigration::Destination::serve_control(ConnectionPtr connection) {
  const Frame first = co_await connection->first_frame(FrameType::offer, "the peer offered no VM");
  wire::Accept accept;
  accept.incarnation = incarnation_;
  std::string refusal;
  try {
    const auto offer = wire::decode<wire::Offer>(first.payload);
    vmm::UniqueFd descriptor = connection->take_descriptor();
    co_await on_offer(offer, std::move(descriptor), accept);
  } catch (const std::exception& error) {
    refusal = error.what();
    if (stage() == Stage::listening) drop_machine();
  }
  if (!refusal.empty()) {
    door_.tell_of_stranger("refused a VM: " + refusal);
    connection->send(FrameType::refused, wire::encode(wire::Reason{refusal}));
    co_await connection->drained();
    co_return;
  }
  co_await serve_link(connection, take_vm(connection, accept));
}

asio::awaitable<void> DestinationMigration::Destination::on_offer(const wire::Offer& offer,
                                                                  vmm::UniqueFd descriptor,
                                                                  wire::Accept& accept) {
  if (opening_ || !allows(Event::offer)) throw std::runtime_error(kHasAVm);
  vmm::MachineConfig config;
  try {
    config = vmm::machine_config_from_json(offer.config);
  } catch (const std::invalid_argument& error) {
    throw wire::ProtocolError(fmt::format("unsound machine configuration: {}", error.what()));
  }
  Status::Receiving offered{config.id, config.name, config.cpus, config.memory_bytes};
  const BuildMachine build = co_await open_host(std::move(config), offer.timeout);
  if (!allows(Event::offer)) throw std::runtime_error(kHasAVm);
  offer_ = offer;
  local_ = offer.features.has(wire::Feature::local) && descriptor.get() >= 0;
  if (!local_) accept.no_local = kNoDescriptor;
  const store::LockDeadline deadline(std::min(kLockPatience, options_.timeout / 2));
  machine_ = build(local_ ? 0 : offer.used_bytes, [&](const vmm::MachineConfig& checked) {
    return make_ram(checked, descriptor);
  });
  channels_.emplace(context_, machine_->memory(), offer.channels, channel_callbacks());
  // RAM is the source's until the guest runs here.
  using PageWrites = destination::MachineLoader::PageWrites;
  loader_.emplace(*machine_, offer.verify, local_ ? PageWrites::at_resume : PageWrites::at_load);
  image_.use(offer, channels_->target(), accept);
  track_changes();
  happened(Event::offer);
  board_.show_offer(std::move(offered), offer.paused, channels_->target().tally);
}

asio::awaitable<BuildMachine> DestinationMigration::Destination::open_host(
    vmm::MachineConfig config, std::chrono::milliseconds timeout) {
  const auto opened = std::make_shared<BuildMachine>();
  const auto open = [factory = factory_, config = std::move(config),
                     opened](const net::Errand::At& at) { *opened = factory(config, at); };
  const auto patience = kTimeToOpen * std::min(timeout, options_.timeout);
  net::Errand opening(context_.get_executor(), vmm::ThreadRole::device, open);
  opening_ = true;
  bool done = false;
  try {
    done = co_await opening.done(std::chrono::duration_cast<std::chrono::nanoseconds>(patience));
  } catch (...) {
    opening_ = false;
    throw;
  }
  opening_ = false;
  if (!done) {
    throw std::runtime_error(fmt::format(
        "the host has not opened {} within {:.1f} s, and the VM needs it: see what keeps it there",
        opening.busy_with(), std::chrono::duration<double>(patience).count()));
  }
  co_return std::move(*opened);
}

vmm::GuestMemory DestinationMigration::Destination::make_ram(const vmm::MachineConfig& config,
                                                             vmm::UniqueFd& descriptor) {
  const std::uint64_t bytes = config.memory_bytes;
  if (local_) return {bytes, vmm::SharedRam(std::move(descriptor), bytes)};
  if (options_.shared_memory) return vmm::GuestMemory::shared(bytes);
  return image_.make_ram(config.id, bytes, offer_.reuse);
}

/// From before the first page on, so that starting the log is no part of the downtime.
void DestinationMigration::Destination::track_changes() {
  image_keeper_.expect(machine_->memory().page_count());
  if (!offer_.keep || !options_.tracking) return;
  vmm::DirtyLog& log = machine_->dirty_log();
  log.start();
  log.clear_all({0, machine_->memory().page_count()});
}

/// Of an offer that was refused: another may be taken.
void DestinationMigration::Destination::drop_machine() {
  channels_.reset();
  loader_.reset();
  image_.drop();
  offer_ = {};
  local_ = false;
  if (!machine_) return;
  machine_.reset();
  callbacks_.refused();
}

asio::awaitable<void> DestinationMigration::Destination::take_vm(ConnectionPtr connection,
                                                                 wire::Accept accept) {
  connection->keep_alive();
  const auto mode = mode_from(offer_.mode);
  if (mode != Mode::pre_copy && mode != Mode::stop_and_copy && !local_) {
    accept.no_post_copy = fetch_.open_userfault();
  }
  accept.features = offer_.features & wire::Features::all();
  if (!machine_->tells_runs()) accept.features.remove(wire::Feature::marks);
  accept.timeout = options_.timeout;
  connection->send(FrameType::accept, wire::encode(accept));
  co_await image_.send(connection, accept);
  // With an image not before the list of what is missing, which tells what of it does not hold.
  if (mode == Mode::post_copy && !image_.used() && fetch_.possible()) start_fetch();
  co_await listen_to_source(connection);
}

asio::awaitable<void> DestinationMigration::Destination::serve_channel(ConnectionPtr connection) {
  const Frame frame =
      co_await connection->first_frame(FrameType::channel, "the peer named no channel");
  const wire::Channel channel = wire::decode_channel(frame.payload);
  if (!taking_pages() || channel.token != offer_.token || !channels_->expects(channel.index)) {
    throw wire::ProtocolError("the peer opened a channel that nobody expects");
  }
  channels_->open(channel.index, connection->release(), make_sink());
}

destination::PageChannels::Callbacks DestinationMigration::Destination::channel_callbacks() {
  return {.ended = [this](std::uint32_t round) { round_landed(round); },
          .lost =
              [this](const std::exception_ptr& failure) {
                // After the last page the source may close its page channels at any time.
                if (taking_pages()) page_connection_lost(failure);
              }};
}

DestinationMigration::Status DestinationMigration::Destination::status() const {
  return board_.read(stage(), fetch_.status());
}

}  // namespace migration
