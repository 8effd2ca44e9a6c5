#include "migration/source/device_hold.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <stdexcept>
#include <utility>

namespace migration::source {

namespace asio = boost::asio;

asio::awaitable<void> DeviceHold::give_back(Devices devices, Duration limit) {
  const auto deadline = Clock::now() + limit;
  const auto loop = co_await asio::this_coro::executor;
  for (auto& device : devices) given_.push_back({std::move(device)});
  for (Given& each : given_) each.giving = begin(loop, each.device, &vmm::Device::release);
  std::string trouble;
  // A copy: who takes it again meanwhile does not wait for this one.
  for (const Given& each : std::vector(given_)) {
    const Outcome outcome = co_await wait(each.device, each.giving, deadline);
    if (trouble.empty()) trouble = outcome.trouble;
  }
  if (!trouble.empty()) throw std::runtime_error(trouble);
}

asio::awaitable<std::string> DeviceHold::take_again(Duration limit) {
  const auto deadline = Clock::now() + limit;
  const bool free = co_await end_trial(limit);
  if (!free) co_return "the host does not answer for the VM's devices: see what keeps it there";
  const auto loop = co_await asio::this_coro::executor;
  std::string trouble;
  for (Given& each : given_) {
    if (each.giving) {
      const Outcome outcome = co_await wait(each.device, each.giving, deadline);
      if (outcome.over)
        each.giving = nullptr;
      else if (trouble.empty())
        trouble = outcome.trouble;
    }
    if (!each.giving && !each.taking && !each.taken) {
      each.taking = begin(loop, each.device, &vmm::Device::acquire);
    }
  }
  for (Given& each : given_) {
    if (!each.taking) continue;
    const Outcome outcome = co_await wait(each.device, each.taking, deadline);
    each.taken = outcome.over && outcome.trouble.empty();
    if (outcome.over) each.taking = nullptr;
    if (trouble.empty()) trouble = outcome.trouble;
  }
  if (std::ranges::all_of(given_, &Given::taken)) given_.clear();
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
  if (given_.empty()) co_return false;
  const auto loop = co_await asio::this_coro::executor;
  if (!trial_) trial_ = try_unused(loop);
  const bool over = co_await end_trial(limit);
  co_return over&& given_.empty();
}

DeviceHold::Trial DeviceHold::try_unused(const asio::any_io_executor& loop) const {
  Devices devices;
  for (const Given& each : given_) devices.push_back(each.device);
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
    if (*trial.unused) given_.clear();
    trial_.reset();
  }
  co_return true;
}

std::shared_ptr<net::Errand> DeviceHold::begin(const asio::any_io_executor& loop,
                                               const std::shared_ptr<vmm::Device>& device,
                                               Call call) {
  return std::make_shared<net::Errand>(
      loop, vmm::ThreadRole::device, [device, call](const net::Errand::At&) { (*device.*call)(); });
}

asio::awaitable<DeviceHold::Outcome> DeviceHold::wait(std::shared_ptr<vmm::Device> device,
                                                      std::shared_ptr<net::Errand> errand,
                                                      Clock::time_point deadline) {
  const auto left = std::max(deadline - Clock::now(), Duration::zero());
  Outcome outcome;
  try {
    outcome.over = co_await errand->done(left);
    if (!outcome.over) {
      outcome.trouble =
          fmt::format("the host does not answer for {}: see what keeps it there", device->id());
    }
  } catch (const std::exception& failure) {
    outcome = {true, failure.what()};
  }
  co_return outcome;
}

}  // namespace migration::source
