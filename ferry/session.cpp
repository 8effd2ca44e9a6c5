#include "ferry/session.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "ferry/exit_status.hpp"
#include "ferry/say.hpp"
#include "migration/net/event_loop.hpp"

/// How a VM comes to be in this process, and how its guest ends.
namespace ferry {

namespace asio = boost::asio;
using migration::DestinationMigration;
using migration::SourceMigration;

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

Session::Session(const Options& options)
    : room_(context_, options.room, vm_,
            [this] { shut_down(static_cast<int>(ExitStatus::os_error)); }),
      arrival_(
          context_, vm_, room_,
          {.observe = [this](devices::Serial& serial) { console_->observe(serial); },
           .arrived =
               [this](std::unique_ptr<vmm::Machine> machine,
                      std::shared_ptr<devices::Serial> serial) {
                 arrived(std::move(machine), std::move(serial));
               },
           .failed =
               [this](const DestinationMigration::Failure& failure) { arrival_failed(failure); }}),
      departure_(
          context_,
          {.tend = room_.look_of_migration(),
           .in_doubt = [this] { in_doubt(); },
           .ended = [this](SourceMigration::Result result) { migration_ended(std::move(result)); },
           .released = [this] { shut_down(static_cast<int>(ExitStatus::ok)); }}),
      foresight_(context_, vm_, arrival_),
      end_signals_(
          context_, [this] { return console_->reopen_file(); },
          [this](int status) { end(status); }),
      job_control_(
          context_, [this] { console_->give_terminal_back(); },
          [this] { console_->take_terminal(); }) {
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
  arrival_.end();
  departure_.end();
  context_.restart();
  context_.poll();
}

void Session::start(std::unique_ptr<vmm::Machine> machine,
                    std::shared_ptr<devices::Serial> serial) {
  console_->observe(*serial);
  vmm::Machine& started = *machine;
  arrived(std::move(machine), std::move(serial));
  started.resume();
}

void Session::receive(migration::ReceiveOptions options, devices::HostParts parts) {
  arrival_.receive(std::move(options), std::move(parts));
}

int Session::run() {
  // A fault that nobody has caught ends what it happened in: never the VM.
  migration::net::run(context_, [this](const std::exception_ptr& failure) {
    say("a fault within ferry: " + migration::net::what(failure));
    if (end_.begun()) context_.stop();  // the last acts have failed
  });
  const int status = end_.status().value_or(static_cast<int>(ExitStatus::software));
  if (const auto device = hanging_device()) leave_hanging(*device, status);
  return status;
}

void Session::arrived(std::unique_ptr<vmm::Machine> machine,
                      std::shared_ptr<devices::Serial> serial) {
  console_->connect(std::move(serial));
  own(std::move(machine));
}

void Session::arrival_failed(const DestinationMigration::Failure& failure) {
  if (!end_.begun()) say(failure.why);
  shut_down(static_cast<int>(failure.protocol     ? ExitStatus::protocol
                             : failure.permission ? ExitStatus::no_permission
                                                  : ExitStatus::unavailable));
}

/// The VM is here, or here again.
void Session::own(std::unique_ptr<vmm::Machine> machine) {
  vm_.take(std::move(machine));
  const auto devices = vm_.machine()->devices();
  devices_.assign(devices.begin(), devices.end());
  balloon_ = devices::balloon_of(*vm_.machine());
  vm_.machine()->on_end([this] { asio::post(context_, [this] { guest_ended(); }); });
  room_.watch();
}

void Session::guest_ended() {
  vmm::Machine* machine = vm_.machine();
  if (machine == nullptr) return;  // lent out meanwhile: it will come back ended
  const vmm::GuestEnd end = machine->ended().value();
  if (end.kind == vmm::GuestEnd::Kind::crashed) room_.look();  // it may be the cause
  shut_down(status_of_end(end));
  if (end.kind == vmm::GuestEnd::Kind::crashed) say("the guest crashed: " + end.message);
}

}  // namespace ferry
