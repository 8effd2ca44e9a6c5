#include "migration/source/source.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/base/usage.hpp"
#include "migration/net/event_loop.hpp"
#include "migration/policy/delta_policy.hpp"
#include "migration/source/device_calls.hpp"
#include "vmm/machine/machine_config.hpp"

namespace migration {

namespace asio = boost::asio;
using net::Connection;
using net::Frame;
using wire::FrameType;

namespace {

constexpr const char* kNotHandedOver = "the memory cannot be handed over: ";
constexpr const char* kGuestEnded = "the guest ended while it was being migrated";

}  // namespace

SourceMigration::Source::Source(std::unique_ptr<vmm::Machine>&& machine, MigrateOptions options,
                                Callbacks callbacks)
    : options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      was_running_(machine->running()),
      journal_(options_, machine->memory().page_count(), was_running_),
      pages_(machine->memory().page_count()),
      link_(context_, machine->memory(), options_,
            [this](const std::exception_ptr& failure) { page_connection_failed(failure); }),
      ticker_(context_),
      grace_(context_),
      redial_(context_),
      drain_(*machine, journal_, options_.timeout),
      taken_again_(context_),
      pre_copy_(context_, {*machine, options_, link_, journal_, pages_}),
      local_({*machine, options_, link_, journal_, pages_}) {
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

SourceMigration::Source::~Source() {
  context_.stop();
  thread_.join();
  drop_channels();  // their threads use what is destroyed before them
}

asio::awaitable<void> SourceMigration::Source::run() {
  tick();
  try {
    Comparison comparison(parts());
    co_await connect(comparison);
    co_await copy(comparison);
    co_await drain_.finish();
    co_await hand_over();
  } catch (const source::Refused& refusal) {
    on_refusal(refusal.what());
  } catch (...) {
    failed(std::current_exception());
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  follow();
  pre_copy_.free_pages().end();
  pre_copy_.finish();
  redial_.start_over();
  while (machine_) {
    try {
      co_await conclude();
      continue;
    } catch (const std::exception& error) {
      callbacks_.message(
          fmt::format("the migration's end failed, and is tried again: {}", error.what()));
    }
    co_await redial_.pause();
  }
  co_await keep_telling();
  done_ = true;
  callbacks_.over();
  if (keeper_) {
    co_await keeper_->run(link_.release());
    callbacks_.released();
  }
}

/// Until it is known who has the VM, and its owner here has it back or it is given up. What throws
/// on the way is done again from where it had got to.
asio::awaitable<void> SourceMigration::Source::conclude() {
  while (!Side::stays(stage()) && !Side::has_moved(stage())) {
    if (Side::searches(stage())) {
      drop_link();
      co_await find_owner();
      continue;
    }
    try {
      co_await serve();
    } catch (...) {
      failed(std::current_exception());
    }
  }
  drop_channels();
  ticker_.cancel();
  grace_.cancel();
  if (Side::stays(stage())) {
    co_await take_back();
    stay();
  }
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
void SourceMigration::Source::failed(const std::exception_ptr& failure) {
  if (!failure_) failure_ = failure;
  // Where it is no loss of the link, the destination hears of it.
  if (stage() < Stage::completing) act(handover::Action::send_abort);
  happened(Event::link_lost);
}

/// What nobody has caught is the end of this migration and no more. As a lost link it is settled by
/// run() who has the VM.
void SourceMigration::Source::escaped(const std::exception_ptr& failure) {
  const std::string why = "a fault within the migration: " + net::what(failure);
  if (Side::before_commit(stage())) return abandon(Event::cancel, why);
  if (Side::stays(stage()) || Side::has_moved(stage())) return callbacks_.message(why);
  if (!failure_) failure_ = failure;
  if (link_.up()) link_.control().close(failure);
}

asio::awaitable<void> SourceMigration::Source::connect(Comparison& comparison) {
  if (const std::string unfit = local_.why_not(); options_.mode == Mode::local && !unfit.empty()) {
    throw std::runtime_error(kNotHandedOver + unfit);
  }
  const auto config = co_await source::config_to_offer(
      machine_->config(), machine_->devices_of_host(), options_.timeout);
  co_await link_.dial(options_.to);
  Connection& control = link_.control();
  co_await control.greet(wire::Role::control);
  control.account([this](std::size_t bytes) { link_.limiter().charge(bytes); });
  control.keep_alive();
  const wire::Offer offered = offer(config);
  if (offered.features.has(wire::Feature::local)) local_.offer();
  control.send(FrameType::offer, wire::encode(offered));
  if (offered.image_token && options_.reuse != Reuse::off && options_.reuse != Reuse::content) {
    co_await control.drained();
    comparison.look_at_ram();
  }
  const Frame answer =
      source::Link::checked(co_await control.answer(options_.timeout), FrameType::accept);
  accept_ = wire::decode<wire::Accept>(answer.payload);
  happened(Event::accept);
  accept_.features = offered.features & accept_.features;
  if (offered.features.has(wire::Feature::local) && agree_on_local()) co_return;
  agree();
  co_await comparison.learn(accept_, options_.tracked_since.has_value());
  co_await link_.open_channels();
}

wire::Offer SourceMigration::Source::offer(const vmm::MachineConfig& config) const {
  const auto& since = options_.tracked_since;
  const bool local = options_.mode == Mode::local;
  wire::Features features = wire::Features::all();
  if ((!local && options_.mode != Mode::automatic) || !local_.why_not().empty()) {
    features.remove(wire::Feature::local);
  }
  return {.token = link_.token(),
          .config = vmm::to_json(config),
          .channels = link_.channels().open(),
          .mode = std::string(to_string(local ? Mode::stop_and_copy : options_.mode)),
          .verify = options_.verify,
          .paused = !was_running_,
          .used_bytes = resident_bytes(machine_->memory()),
          .keep = options_.keep_in != nullptr,
          .image_key = key_,
          .image_token = since ? std::optional(since->token) : std::nullopt,
          .reuse = options_.reuse,
          .features = features,
          .timeout = options_.timeout};
}

/// What only one side knows is done without, unless it was asked for.
void SourceMigration::Source::agree() {
  if (options_.compression == Compression::none) return;
  const std::uint64_t cache =
      delta_cache_bytes(options_, machine_->memory().page_count() * vmm::kPageSize);
  try {
    if (accept_.features.has(wire::Feature::duplicates)) link_.send_duplicates();
    if (accept_.features.has(wire::Feature::delta) && cache != 0) link_.send_deltas(cache);
  } catch (const std::bad_alloc&) {
    callbacks_.message("no memory for what would make the migration send less: it sends more");
  }
  const bool lz4 = accept_.features.has(wire::Feature::lz4);
  const bool zstd = lz4 && accept_.features.has(wire::Feature::zstd);
  link_.shared().zstd = zstd;
  if (options_.compression == Compression::zstd && !zstd) {
    throw std::runtime_error(
        "the destination does not know Zstandard: migrate with --compression auto");
  }
  if (lz4) return;
  if (options_.compression == Compression::lz4) {
    throw std::runtime_error("the destination does not know LZ4: migrate with --compression none");
  }
  link_.shared().compression = Compression::none;
}

bool SourceMigration::Source::agree_on_local() {
  std::string unfit = accept_.no_local;
  if (!accept_.features.has(wire::Feature::local)) {
    unfit = "the destination cannot take it, as it is of another release";
  }
  if (unfit.empty()) {
    local_.accepted();
  } else if (options_.mode == Mode::local) {
    throw std::runtime_error(kNotHandedOver + unfit);
  } else {
    callbacks_.message("the memory is copied, and not handed over: " + unfit);
  }
  return local_.is_accepted();
}

asio::awaitable<void> SourceMigration::Source::copy(Comparison& comparison) {
  if (local_.is_accepted()) co_return;
  const std::string& unfit = accept_.no_post_copy;
  const bool must = options_.mode == Mode::post_copy || options_.mode == Mode::hybrid;
  if (must && !unfit.empty()) {
    throw std::runtime_error("the destination cannot fetch pages: " + unfit);
  }
  if (options_.mode == Mode::automatic && !unfit.empty()) {
    callbacks_.message("this stays a pre-copy migration, as the destination cannot fetch pages: " +
                       unfit);
  }
  if (comparison.holds_any()) {
    co_await compare(comparison);
  } else if (machine_->tells_free_pages()) {
    journal_.phase("asking the guest for its free pages");
    co_await pre_copy_.free_pages().begin(link_.limiter().rate());
  }
  bool post_copy = options_.mode == Mode::post_copy;
  if (post_copy || options_.mode == Mode::stop_and_copy) {
    pre_copy_.free_pages().settle(pages_);
    if (post_copy && options_.keep_in) co_await sample_history();
  } else {
    post_copy = co_await pre_copy_.run(unfit.empty(), drain_);
  }
  if (!post_copy) co_return;
  post_copy_.emplace(parts(), pre_copy_.round());
  co_await post_copy_->prepare();
}

void SourceMigration::Source::page_connection_failed(const std::exception_ptr& failure) {
  if (!failure_) failure_ = failure;
  if (link_.up()) link_.control().close(failure);
  if (Side::before_commit(stage())) interrupt_.emit(asio::cancellation_type::terminal);
}

}  // namespace migration
