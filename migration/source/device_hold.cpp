#include "migration/source/device_hold.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>

namespace migration::source {

namespace asio = boost::asio;

void DeviceHold::lacks(Devices devices) {
  for (auto& device : devices) lacking_.push_back({std::move(device)});
}

asio::awaitable<std::string> DeviceHold::take_again(Duration limit) {
  const auto deadline = Clock::now() + limit;
  const bool free = co_await end_trial(limit);
  if (!free) co_return "the host does not answer for the VM's devices: see what keeps it there";
  const auto loop = co_await asio::this_coro::executor;
  for (Lacking& each : lacking_) {
    if (each.taken || each.taking) continue;
    each.taking = std::make_unique<net::Errand>(
        for_each_device(loop, {each.device}, [](vmm::Device& device) { device.acquire(); }));
  }
  std::string trouble;
  for (Lacking& each : lacking_) {
    if (each.taken) continue;
    const std::string why = co_await wait(each, deadline);
    if (trouble.empty()) trouble = why;
  }
  if (trouble.empty()) lacking_.clear();
  co_return trouble;
}

namespace {

bool last_ran_here(const Devices& devices) {
  return std::ranges::any_of(devices, [](const auto& device) { return device->last_ran_here(); });
}

/// Who does not run the VM does not touch the locks of one that may be on its way to a third host,
/// when nobody has them for a moment.
bool are_unused(const Devices& devices) {
  if (!last_ran_here(devices)) return false;
  try {
    for (const auto& device : devices) device->acquire();
    if (last_ran_here(devices)) return true;
  } catch (const std::exception&) {
    // The destination has them.
  }
  for (const auto& device : devices) device->release();
  return false;
}

}  // namespace

asio::awaitable<bool> DeviceHold::take_unused(Duration limit) {
  if (lacking_.empty()) co_return false;
  const auto loop = co_await asio::this_coro::executor;
  if (!trial_) trial_ = try_unused(loop);
  const bool over = co_await end_trial(limit);
  co_return (over && lacking_.empty());
}

DeviceHold::Trial DeviceHold::try_unused(const asio::any_io_executor& loop) const {
  Devices devices;
  for (const Lacking& each : lacking_) devices.push_back(each.device);
  auto unused = std::make_shared<std::atomic<bool>>(false);
  const auto call = [devices = std::move(devices), unused](const net::Errand::At& at) {
    at("the VM's disks");
    *unused = are_unused(devices);
  };
  return {std::make_shared<net::Errand>(loop, vmm::ThreadRole::device, call), unused};
}

asio::awaitable<bool> DeviceHold::end_trial(Duration limit) {
  if (!trial_) co_return true;
  const Trial trial = *trial_;  // two may wait for it
  try {
    const bool over = co_await trial.errand->done(limit);
    if (!over) co_return false;
  } catch (const std::exception&) {
    // Of one that could not be given back, which is taken again as the others are.
  }
  if (trial_ && trial_->errand == trial.errand) {
    if (*trial.unused) lacking_.clear();
    trial_.reset();
  }
  co_return true;
}

asio::awaitable<std::string> DeviceHold::wait(Lacking& lacking, Clock::time_point deadline) {
  std::string why;
  try {
    lacking.taken = co_await lacking.taking->done(std::max(deadline - Clock::now(), Duration()));
    if (!lacking.taken) {
      co_return fmt::format("the host does not answer for {}: see what keeps it there",
                            lacking.device->id());
    }
  } catch (const std::exception& failure) {
    why = failure.what();
  }
  lacking.taking.reset();
  co_return why;
}

}  // namespace migration::source
