#include "migration/source/device_calls.hpp"

#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace migration::source {

namespace asio = boost::asio;

net::Errand for_each_device(const asio::any_io_executor& loop, Devices devices,
                            std::function<void(vmm::Device&)> call) {
  return {loop, vmm::ThreadRole::device,
          [devices = std::move(devices), call = std::move(call)](const net::Errand::At& at) {
            for (const auto& device : devices) {
              at(std::string(device->id()));
              call(*device);
            }
          }};
}

asio::awaitable<vmm::MachineConfig> config_to_offer(vmm::MachineConfig config,
                                                    Devices devices_of_host,
                                                    std::chrono::milliseconds timeout) {
  const auto parts = std::make_shared<std::map<std::string, std::string, std::less<>>>();
  const auto loop = co_await asio::this_coro::executor;
  net::Errand asking = for_each_device(
      loop, std::move(devices_of_host),
      [parts](vmm::Device& device) { parts->emplace(device.id(), device.host_part()); });
  const bool done = co_await asking.done(timeout);
  if (!done) {
    throw std::runtime_error(fmt::format(
        "the host has not said within {:.1f} s what it has of {}, and the VM cannot be offered "
        "without that: see what keeps the host's end of it",
        std::chrono::duration<double>(timeout).count(), asking.busy_with()));
  }
  for (vmm::DeviceVersion& known : config.devices) {
    const auto part = parts->find(known.id);
    if (part != parts->end()) known.host_part = part->second;
  }
  co_return config;
}

std::optional<bool> held_elsewhere(const Devices& devices) {
  std::optional<bool> held;
  for (const auto& device : devices) {
    if (const auto of_it = device->held_elsewhere()) held = held.value_or(false) || *of_it;
  }
  return held;
}

asio::awaitable<std::optional<bool>> held_elsewhere(Devices devices,
                                                    std::chrono::milliseconds timeout) {
  const auto held = std::make_shared<std::optional<bool>>();
  const auto loop = co_await asio::this_coro::executor;
  net::Errand asking(loop, vmm::ThreadRole::device,
                     [devices = std::move(devices), held](const net::Errand::At& at) {
                       at("the VM's disks");
                       *held = held_elsewhere(devices);
                     });
  try {
    const bool done = co_await asking.done(timeout);
    if (done) co_return *held;
  } catch (const std::exception&) {
    // Then nobody can tell.
  }
  co_return std::nullopt;
}

}  // namespace migration::source
