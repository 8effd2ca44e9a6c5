#include "ferry/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <utility>

#include "devices/standard.hpp"
#include "ferry/exit_status.hpp"
#include "ferry/say.hpp"
#include "ferry/signals.hpp"
#include "migration/net/event_loop.hpp"
#include "migration/reuse/image_store.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::IncomingMigration;

namespace {

int status_of_end(const vmm::GuestEnd& end) {
  switch (end.kind) {
    case vmm::GuestEnd::Kind::exit_code: return end.code;
    case vmm::GuestEnd::Kind::power_off: return static_cast<int>(ExitStatus::ok);
    case vmm::GuestEnd::Kind::crashed: break;
  }
  return static_cast<int>(ExitStatus::software);
}

}  // namespace

/// A VM on its way from the receiver's thread to this one.
struct Session::Arrival {
  std::unique_ptr<vmm::Machine> machine;
  std::shared_ptr<devices::Serial> serial;
  std::optional<IncomingMigration::KeptAtSource> tracked_since{};
};

Session::Session(const Options& options)
    : signals_(context_),
      job_control_(
          context_, [this] { console_->give_terminal_back(); },
          [this] { console_->take_terminal(); }),
      had_terminal_(has_terminal()),
      image_store_(options.image_store),
      tell_changes_(context_),
      settled_(context_),
      left_(context_),
      told_(context_),
      ledger_(options.ledger),
      overcommit_(options.overcommit),
      room_watch_(context_),
      store_watch_(image_store_ ? std::make_shared<StoreWatch>(image_store_) : nullptr) {
  add_unless_ignored(signals_, {SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  wait_for_signal();
  if (!options.api_socket.empty()) {
    api_ = std::make_unique<ControlApi>(context_, options.api_socket, *this);
  }
  console_ = std::make_unique<Console>(context_, options.serial, [this] {
    asio::post(context_, [this] { end(static_cast<int>(ExitStatus::ok)); });
  });
}

Session::~Session() {
  hold_signals_back();
  job_control_.end();
  // A VM that arrived, or came back, in the last moment is in the queue: it must not outlive the
  // console.
  incoming_.reset();
  outgoing_.reset();
  context_.restart();
  context_.poll();
}

void Session::start(std::unique_ptr<vmm::Machine> machine,
                    std::shared_ptr<devices::Serial> serial) {
  console_->observe(*serial);
  vmm::Machine& started = *machine;
  arrived({std::move(machine), std::move(serial)});
  started.resume();
}

/// Bytes of memory that the VM has here already: its image, which will be RAM.
std::uint64_t Session::kept_of(const std::string& vm_id) const {
  if (!image_store_ || !image_store_->can_hold_ram()) return 0;
  try {
    for (const auto& entry : image_store_->list()) {
      if (entry.vm_id == vm_id) return entry.bytes;
    }
  } catch (const std::exception& error) {
    say(error.what());  // without the image the VM is welcome too
  }
  return 0;
}

void Session::receive(migration::ReceiveOptions options) {
  // Filled by the factory, taken when the machine has arrived: both in the receiver's thread.
  auto serial = std::make_shared<std::shared_ptr<devices::Serial>>();
  // The receiver's thread has it, and lets it go at once when no more memory is to come.
  auto promised = std::make_shared<std::shared_ptr<MemoryPromise>>();
  const auto factory = [this, serial, promised](vmm::MachineConfig config, std::uint64_t used_bytes,
                                                const migration::MakeRam& make_ram) {
    devices::check_devices(config.devices);
    if (!overcommit_) check_host_memory(config.memory_bytes);
    auto promise = std::make_shared<MemoryPromise>(
        ledger_.get(), std::min(used_bytes, config.memory_bytes), kept_of(config.id), overcommit_);
    vmm::Kvm kvm;
    vmm::GuestMemory ram = make_ram(config);
    auto machine =
        std::make_unique<vmm::Machine>(std::move(kvm), std::move(config), std::move(ram));
    *serial = devices::attach_standard_devices(*machine);
    console_->observe(**serial);
    asio::post(context_, [this, weak = std::weak_ptr(promise)] {
      memory_promise_ = weak;
      watch_room();
    });
    *promised = std::move(promise);
    return machine;
  };
  timeout_ = options.timeout;
  settled_.expires_at(asio::steady_timer::time_point::max());
  incoming_ = std::make_unique<IncomingMigration>(
      std::move(options), factory,
      IncomingMigration::Callbacks{
          .listening =
              [](const migration::Address& address) {
                messages().add(fmt::format("listening on {}", migration::to_string(address)));
              },
          .message = say,
          .refused = [promised] { promised->reset(); },
          .arrived =
              [this, serial, promised](
                  std::unique_ptr<vmm::Machine> machine,
                  std::optional<IncomingMigration::KeptAtSource> tracked_since) {
                if (!machine->lacks_pages()) promised->reset();
                asio::post(context_,
                           [this, arrival = Arrival{std::move(machine), std::move(*serial),
                                                    tracked_since}]() mutable {
                             arrived(std::move(arrival));
                           });
              },
          .failed =
              [this, promised](const IncomingMigration::Failure& failure) {
                promised->reset();
                asio::post(context_, [this, failure] {
                  if (!exit_status_) say(failure.why);
                  leave(static_cast<int>(failure.protocol     ? ExitStatus::protocol
                                         : failure.permission ? ExitStatus::no_permission
                                                              : ExitStatus::unavailable));
                });
              },
          .waiting_for_source =
              [this](bool now) { asio::post(context_, [this, now] { wait_for_source(now); }); },
          .image_keeper_came =
              [this] {
                asio::post(context_, [this] {
                  if (tracker_) tracker_->tell_all();
                });
              },
          .dropped =
              [this](std::vector<vmm::PageRange> pages) {
                asio::post(context_, [this, pages = std::move(pages)] {
                  if (tracker_) tracker_->dropped(pages);
                });
              },
          .complete =
              [this, promised] {
                promised->reset();
                asio::post(context_, [this] {
                  if (machine_) machine_->set_userfault(nullptr);
                });
              },
          .settled = [this] { asio::post(context_, [this] { wake(settled_); }); }});
}

int Session::run() {
  // A fault that nobody has caught ends what it happened in: never the VM.
  migration::net::run(context_, [this](const std::exception_ptr& failure) {
    say("a fault within ferry: " + migration::net::what(failure));
    if (exit_status_) context_.stop();  // the last acts have failed
  });
  return exit_status_.value_or(static_cast<int>(ExitStatus::software));
}

void Session::arrived(Arrival arrival) {
  serial_ = std::move(arrival.serial);
  const vmm::MachineConfig& config = arrival.machine->config();
  id_ = config.id;
  name_ = config.name;
  cpus_ = config.cpus;
  memory_bytes_ = config.memory_bytes;
  console_->connect(serial_);
  own(std::move(arrival.machine));
  if (incoming_) {
    settled_.expires_after(timeout_);
    say(fmt::format("'{}' has arrived{}", name_, machine_->running() ? "" : ", paused"));
  }
  if (!arrival.tracked_since) return;
  tracker_.emplace(arrival.tracked_since->token, arrival.tracked_since->key,
                   machine_->memory().page_count());
  tell_changes();
}

void Session::own(std::unique_ptr<vmm::Machine> machine) {
  machine_ = std::move(machine);
  machine_->on_end([this] { asio::post(context_, [this] { guest_ended(); }); });
  watch_room();
}

void Session::guest_ended() {
  if (!machine_) return;  // lent out meanwhile: it will come back ended
  const vmm::GuestEnd end = machine_->ended().value();
  if (end.kind == vmm::GuestEnd::Kind::crashed) look_at_store();  // it may be the cause
  leave(status_of_end(end));
  if (end.kind == vmm::GuestEnd::Kind::crashed) say("the guest crashed: " + end.message);
}

/// A VM that lacks pages whose source is away does not run on by halves.
void Session::wait_for_source(bool waiting) {
  if (!machine_) return;
  if (waiting && machine_->running()) {
    machine_->pause();
    waiting_for_source_ = true;
  } else if (!waiting && std::exchange(waiting_for_source_, false)) {
    machine_->resume();
  }
}

}  // namespace ferry
