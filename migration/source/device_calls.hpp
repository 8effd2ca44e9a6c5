#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "migration/net/errand.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/machine/machine_config.hpp"

/// What the devices of a machine ask of the host may hang, as a disk does: it is an errand.
namespace migration::source {

using Devices = std::vector<std::shared_ptr<vmm::Device>>;

/// Begins `call` for each of them, one after the other. The errand is busy with a device, by its
/// id.
[[nodiscard]] net::Errand for_each_device(const boost::asio::any_io_executor& loop, Devices devices,
                                          std::function<void(vmm::Device&)> call);

/// The configuration of a machine for another host to compare, with what its devices have of this
/// one by now. std::runtime_error that names the device whose host has not said that in time.
[[nodiscard]] boost::asio::awaitable<vmm::MachineConfig> config_to_offer(
    vmm::MachineConfig config, Devices devices_of_host, std::chrono::milliseconds timeout);

/// Whether another process has what one of them needs alone; nullopt when nobody can tell.
[[nodiscard]] std::optional<bool> held_elsewhere(const Devices& devices);
/// The same, as an errand; nullopt also when it takes longer than that.
[[nodiscard]] boost::asio::awaitable<std::optional<bool>> held_elsewhere(
    Devices devices, std::chrono::milliseconds timeout);

}  // namespace migration::source
