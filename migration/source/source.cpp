#include "migration/source/source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/net/event_loop.hpp"
#include "vmm/machine/machine_config.hpp"

namespace migration {

namespace asio = boost::asio;
using net::Connection;
using net::Frame;
using wire::FrameType;

namespace {

/// How long a broken page channel waits for the peer to say why on the control connection.
constexpr std::chrono::milliseconds kReasonGrace{500};
constexpr double kStateBytesPerCpu = 16.0 * 1024;
constexpr const char* kGuestEnded = "the guest ended while it was being migrated";

}  // namespace

OutgoingMigration::Source::Source(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options,
                                  Callbacks callbacks)
    : options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      was_running_(machine->running()),
      cpu_at_start_(cpu_seconds()),
      limiter_(options_.max_bandwidth),
      shared_{machine->memory(),    limiter_,          counters_,
              options_.compression, options_.channels, options_.timeout},
      ticker_(context_),
      retry_(context_),
      grace_(context_),
      driver_({.mode = options_.mode,
               .max_downtime = options_.max_downtime,
               .max_rounds = options_.max_rounds,
               .hot_last = options_.hot_last,
               .throttle = options_.throttle,
               .state_bytes = kStateBytesPerCpu * machine->config().cpus}),
      pages_(machine->memory().page_count()),
      used_(machine->memory().page_count()) {
  report_.mode = to_string(options_.mode);
  report_.transport = options_.to.kind == Address::Kind::tcp ? "tcp" : "unix";
  report_.phase = "connecting";
  report_.owner = was_running_ ? "this process runs the VM" : "this process has the VM, paused";
  report_.pages.total = machine->memory().page_count();
  net::spawn(context_.get_executor(), run(), interrupt_.slot());
  machine_ = std::move(machine);
  machine_->on_end(
      [this] { asio::post(context_, [this] { abandon(Event::guest_ended, kGuestEnded); }); });
  try {
    const auto loop = [this] {
      net::run(context_, [this](const std::exception_ptr& failure) { escaped(failure); });
    };
    thread_ = vmm::Thread(vmm::ThreadRole::migration, loop, vmm::nothing_escapes);
  } catch (const std::system_error&) {
    machine_->on_end(nullptr);
    machine = std::move(machine_);
    throw;
  }
}

OutgoingMigration::Source::~Source() {
  context_.stop();
  thread_.join();
  drop_page_connections();  // their threads use what is destroyed before them
}

asio::awaitable<void> OutgoingMigration::Source::run() {
  tick();
  try {
    co_await connect();
    const bool post_copy = co_await copy();
    co_await hand_over(post_copy);
  } catch (...) {
    failed(std::current_exception());
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  follow();
  for (auto delay = kFirstRetry; machine_;) {
    try {
      co_await conclude();
      continue;
    } catch (const std::exception& error) {
      callbacks_.message(
          fmt::format("the migration's end failed, and is tried again: {}", error.what()));
    }
    co_await pause_before_retry(delay);
  }
  co_await keep_telling();
  done_ = true;
  callbacks_.over();
  if (keeper_) {
    co_await keeper_->run(std::exchange(control_, nullptr));
    callbacks_.released();
  }
}

/// Until it is known who has the VM, and its owner here has it back or it is given up. What throws
/// on the way is done again from where it had got to.
asio::awaitable<void> OutgoingMigration::Source::conclude() {
  while (!Side::stays(stage()) && !Side::has_moved(stage())) {
    if (Side::searches(stage())) {
      drop_connections();
      co_await settle();
      continue;
    }
    try {
      co_await serve();
    } catch (...) {
      failed(std::current_exception());
    }
  }
  drop_page_connections();
  ticker_.cancel();
  if (Side::stays(stage())) stay();
  update_counts();
  if (Side::has_moved(stage())) {
    if (options_.keep_in && !keeper_) {
      // It may take long, and the destination waits for no report of a VM that it has.
      co_await tell_report();
      keep_image();
    }
    co_await tell_report();
  }
  co_await await_last_word();
  done_ = !Side::tells(stage());
  finish();
}

/// What ends the migration, or breaks the link, wherever run() was.
void OutgoingMigration::Source::failed(const std::exception_ptr& failure) {
  if (!failure_) failure_ = failure;
  // Where it is no loss of the link, the destination hears of it.
  if (stage() < Stage::completing) act(handover::Action::send_abort);
  happened(Event::link_lost);
}

/// What nobody has caught is the end of this migration and no more. As a lost link it is settled by
/// run() who has the VM.
void OutgoingMigration::Source::escaped(const std::exception_ptr& failure) {
  const std::string why = "a fault within the migration: " + net::what(failure);
  if (Side::before_commit(stage())) return abandon(Event::cancel, why);
  if (Side::stays(stage()) || Side::has_moved(stage())) return callbacks_.message(why);
  if (!failure_) failure_ = failure;
  if (control_) control_->close(failure);
}

asio::awaitable<void> OutgoingMigration::Source::connect() {
  net::Socket socket = co_await net::dial(options_.to, options_.timeout);
  peer_ = net::peer_address(socket, options_.to);
  control_ = std::make_shared<Connection>(std::move(socket), options_.timeout);
  co_await control_->greet(wire::Role::control);
  control_->account([this](std::size_t bytes) { limiter_.charge(bytes); });
  control_->keep_alive();
  const wire::Offer offer{.token = token_,
                          .config = vmm::to_json(machine_->config()),
                          .channels = options_.channels,
                          .mode = std::string(to_string(options_.mode)),
                          .verify = options_.verify,
                          .paused = !was_running_,
                          .used_bytes = resident_bytes(),
                          .keep = options_.keep_in != nullptr,
                          .image_key = key_,
                          .image_token = options_.tracked_since
                                             ? std::optional(options_.tracked_since->token)
                                             : std::nullopt,
                          .reuse = options_.reuse,
                          .timeout = options_.timeout};
  control_->send(FrameType::offer, wire::encode(offer));
  comparison_.emplace(
      *machine_, Comparison::Destination{*control_, [this](FrameType type) { return expect(type); },
                                         [this] { check_guest(); }});
  if (offer.image_token && options_.reuse != Reuse::off && options_.reuse != Reuse::content) {
    co_await control_->drained();
    comparison_->look_at_ram();
  }
  const Frame answer = checked(co_await control_->answer(options_.timeout), FrameType::accept);
  const auto accept = wire::decode<wire::Accept>(answer.payload);
  happened(Event::accept);
  incarnation_ = accept.incarnation;
  no_post_copy_ = accept.no_post_copy;
  agree(offer.features & accept.features);
  co_await comparison_->learn(accept, options_.tracked_since.has_value());
  for (unsigned index = 0; index < options_.channels; ++index) {
    open_channel(index, co_await net::dial(peer_, options_.timeout));
  }
}

/// What only one side knows is done without, unless it was asked for.
void OutgoingMigration::Source::agree(wire::Features features) {
  features_ = features;
  if (features_.has(wire::Feature::lz4)) return;
  if (options_.compression == Compression::lz4) {
    throw std::runtime_error("the destination does not know LZ4: migrate with --compression none");
  }
  shared_.compression = Compression::none;
}

void OutgoingMigration::Source::open_channel(unsigned index, net::Socket socket) {
  net::tune_bulk(socket);
  wire::Bytes greeting = wire::encode_preamble(wire::Role::pages);
  wire::put_frame(greeting, FrameType::channel, wire::encode_channel(token_, index));
  senders_.push_back(std::make_unique<PageSender>(std::move(socket), std::move(greeting), shared_,
                                                  [this, link = link_](std::exception_ptr failure) {
                                                    if (!failure) return;
                                                    asio::post(context_, [this, link, failure] {
                                                      channel_failed(link, failure);
                                                    });
                                                  }));
}

asio::awaitable<bool> OutgoingMigration::Source::copy() {
  const bool must = options_.mode == Mode::post_copy || options_.mode == Mode::hybrid;
  if (must && !no_post_copy_.empty()) {
    throw std::runtime_error("the destination cannot fetch pages: " + no_post_copy_);
  }
  if (options_.mode == Mode::automatic && !no_post_copy_.empty()) {
    callbacks_.message("this stays a pre-copy migration, as the destination cannot fetch pages: " +
                       no_post_copy_);
  }
  if (reuses()) co_await compare();
  bool post_copy = options_.mode == Mode::post_copy;
  if (post_copy && options_.keep_in) co_await sample_history();
  if (!post_copy && options_.mode != Mode::stop_and_copy) post_copy = co_await pre_copy();
  if (post_copy) co_await prepare_post_copy();
  co_return post_copy;
}

/// A peer that refuses closes everything; its reason, on the control connection, may come a moment
/// after the page channels break.
void OutgoingMigration::Source::channel_failed(unsigned link, std::exception_ptr failure) {
  if (link != link_) return;
  grace_.expires_after(kReasonGrace);
  grace_.async_wait([this, link, failure](boost::system::error_code cancelled) {
    if (cancelled || link != link_) return;
    if (!failure_) failure_ = failure;
    if (control_) control_->close(failure);
    if (Side::before_commit(stage())) interrupt_.emit(asio::cancellation_type::terminal);
  });
}

asio::awaitable<Frame> OutgoingMigration::Source::expect(FrameType type) {
  co_return checked(co_await control_->receive(), type);
}

Frame OutgoingMigration::Source::checked(Frame frame, FrameType type) {
  if (frame.type == FrameType::refused) {
    take_word(frame);  // its own word that it will not run the VM
    std::rethrow_exception(failure_);
  }
  if (frame.type != type) {
    throw wire::ProtocolError(fmt::format("the destination sent a frame of type {} out of turn",
                                          static_cast<unsigned>(frame.type)));
  }
  return frame;
}

void OutgoingMigration::Source::check_guest() const {
  if (machine_->ended()) throw std::runtime_error(kGuestEnded);
}

}  // namespace migration
