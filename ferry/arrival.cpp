#include "ferry/arrival.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <utility>
#include <vector>

#include "devices/standard.hpp"
#include "ferry/say.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::DestinationMigration;

namespace {

/// The other side is told for three timeouts at most; a thread that hangs delays the end no more.
constexpr int kTimeoutsToAnswer = 4;

}  // namespace

Arrival::Arrival(asio::io_context& context, const VmOfProcess& vm, VmRoom& room,
                 Callbacks callbacks)
    : context_(context),
      vm_(vm),
      room_(room),
      callbacks_(std::move(callbacks)),
      settled_(context),
      answered_(context),
      feed_(context, vm) {}

void Arrival::receive(migration::ReceiveOptions options, devices::HostParts parts) {
  timeout_ = options.timeout;
  settled_.expect();
  const auto factory = [this, parts = std::move(parts)](
                           vmm::MachineConfig config,
                           const std::function<void(std::string)>& opens) mutable {
    parts.opens = opens;
    auto more = devices::pci_devices_for(config.devices, parts);
    return [this, config = std::move(config), more = std::move(more)](
               std::uint64_t used_bytes, const migration::MakeRam& make_ram) {
      return make_machine(config, more, used_bytes, make_ram);
    };
  };
  incoming_ = std::make_unique<DestinationMigration>(std::move(options), factory, callbacks());
}

void Arrival::end() {
  feed_.stop();
  incoming_.reset();
}

/// The receiver's thread.
std::unique_ptr<vmm::Machine> Arrival::make_machine(vmm::MachineConfig config,
                                                    const std::vector<devices::PciDevice>& more,
                                                    std::uint64_t used_bytes,
                                                    const migration::MakeRam& make_ram) {
  auto promise = room_.promise(config, used_bytes);
  vmm::Kvm kvm;
  vmm::GuestMemory ram = make_ram(config);
  auto machine = std::make_unique<vmm::Machine>(std::move(kvm), std::move(config), std::move(ram));
  serial_ = devices::attach_devices(*machine, more);
  callbacks_.observe(*serial_);
  room_.hold(std::move(promise));
  return machine;
}

/// What happens in the receiver's thread is told to the main thread.
DestinationMigration::Callbacks Arrival::callbacks() {
  return {
      .listening =
          [](const migration::Address& address) {
            messages().add(fmt::format("listening on {}", migration::to_string(address)));
          },
      .message = say,
      .refused = [this] { room_.release_promise(); },
      .arrived =
          [this](std::unique_ptr<vmm::Machine> machine, std::optional<KeptAtSource> tracked_since) {
            if (!machine->lacks_pages()) room_.release_promise();
            asio::post(context_, [this, machine = std::move(machine), serial = std::move(serial_),
                                  tracked_since]() mutable {
              arrived(std::move(machine), std::move(serial), tracked_since);
            });
          },
      .failed =
          [this](const DestinationMigration::Failure& failure) {
            room_.release_promise();
            asio::post(context_, [this, failure] { callbacks_.failed(failure); });
          },
      .waiting_for_source =
          [this](bool now) { asio::post(context_, [this, now] { wait_for_source(now); }); },
      .image_keeper_came = [this] { asio::post(context_, [this] { feed_.tell_all(); }); },
      .dropped =
          [this](std::vector<vmm::PageRange> pages) {
            asio::post(context_, [this, pages = std::move(pages)] { feed_.dropped(pages); });
          },
      .complete =
          [this] {
            room_.release_promise();
            asio::post(context_, [this] {
              if (vm_.machine() != nullptr) vm_.machine()->set_userfault(nullptr);
            });
          },
      .settled = [this] { asio::post(context_, [this] { settled_.open(); }); }};
}

void Arrival::arrived(std::unique_ptr<vmm::Machine> machine,
                      std::shared_ptr<devices::Serial> serial,
                      const std::optional<KeptAtSource>& tracked_since) {
  callbacks_.arrived(std::move(machine), std::move(serial));
  if (!incoming_) return;  // the process is about to end
  settled_.expect_within(timeout_);
  say(fmt::format("'{}' has arrived{}", vm_.config()->name,
                  vm_.machine()->running() ? "" : ", paused"));
  if (tracked_since) feed_.start(*tracked_since, *incoming_);
}

/// A VM that lacks pages whose source is away does not run on by halves.
void Arrival::wait_for_source(bool waiting) {
  vmm::Machine* machine = vm_.machine();
  if (machine == nullptr) return;
  if (waiting && machine->running()) {
    machine->pause();
    waiting_for_source_ = true;
  } else if (!waiting && std::exchange(waiting_for_source_, false)) {
    machine->resume();
  }
}

std::optional<Arrival::Status> Arrival::status() const {
  if (!incoming_) return std::nullopt;
  return incoming_->status();
}

std::optional<Arrival::Status::Fetching> Arrival::fetching() const {
  if (!incoming_ || vm_.machine() == nullptr) return std::nullopt;
  return incoming_->status().fetching;
}

bool Arrival::unheard() const { return incoming_ && incoming_->status().unheard; }

std::string Arrival::force_resume() {
  if (!incoming_) return "nothing is in doubt here: there is nothing to force";
  return incoming_->force_resume();
}

asio::awaitable<void> Arrival::settled() {
  if (unheard()) co_await settled_.wait();
}

void Arrival::decline() {
  if (!incoming_) return;
  answered_.expect_within(kTimeoutsToAnswer * timeout_);
  incoming_->decline([this] { asio::post(context_, [this] { answered_.open(); }); });
}

asio::awaitable<void> Arrival::answered() {
  if (incoming_) co_await answered_.wait();
}

}  // namespace ferry
