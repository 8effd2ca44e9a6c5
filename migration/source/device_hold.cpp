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
