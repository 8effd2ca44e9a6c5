#include "migration/source/drain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/source/device_calls.hpp"

namespace migration::source {

namespace asio = boost::asio;

namespace {

/// So many rounds are added for I/O that takes longer than the guest may stand.
constexpr int kMostTries = 3;
/// Writing back what the host has cached of a disk, while the guest has it: for so many timeouts.
constexpr int kTimeoutsToWriteBack = 12;
/// For so long this thread may do nothing else.
constexpr std::chrono::milliseconds kAtATime{2};

/// Others of this thread have their turn, such as signs of life.
asio::awaitable<void> give_way() {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

std::runtime_error not_written_back(const std::string& device, Drain::Clock::duration after) {
  return std::runtime_error(fmt::format(
      "the host has been writing back what it has cached of {} for {:.1f} s, and is not "
      "done: see what keeps the host's end of it",
      device, std::chrono::duration<double>(after).count()));
}

}  // namespace

asio::awaitable<bool> Drain::within(Clock::duration most) {
  if (++tries_ > kMostTries) {
    co_await finish();
    co_return true;
  }
  const auto start = Clock::now();
  co_await write_back(kTimeoutsToWriteBack * timeout_);
  // What the guest has written to its RAM meanwhile would be sent while it stands.
  if (Clock::now() - start > most) co_return false;
  machine_.begin_drain();
  bool done = co_await wait(most);
  if (done) {
    const std::string busy = co_await write_back_rest(most);
    done = busy.empty();
  } else {
    machine_.end_drain();
  }
  co_return done;
}

asio::awaitable<void> Drain::finish() {
  if (!machine_.draining()) co_await write_back(kTimeoutsToWriteBack * timeout_);
  machine_.begin_drain();
  const bool drained = co_await wait(timeout_);
  if (!drained) {
    const std::string busy = machine_.undrained();
    machine_.end_drain();
    throw std::runtime_error(
        fmt::format("{} has had I/O under way for {:.1f} s, and the guest cannot be stopped with "
                    "it: see what keeps the host's end of it",
                    busy, std::chrono::duration<double>(timeout_).count()));
  }
  const std::string busy = co_await write_back_rest(timeout_);
  if (!busy.empty()) throw not_written_back(busy, timeout_);
}

asio::awaitable<bool> Drain::wait(Clock::duration most) {
  const auto start = Clock::now();
  bool drained = machine_.drained(start);
  while (!drained && Clock::now() - start < most) {
    co_await give_way();
    drained = machine_.drained(std::min(Clock::now() + kAtATime, start + most));
  }
  journal_.write([&](MigrationReport& report) { report.phases_ms.drain += ms_since(start); });
  co_return drained;
}

/// What has come since write_back(), with the devices quiet; when it takes too long they go on.
asio::awaitable<std::string> Drain::write_back_rest(Clock::duration most) {
  std::string busy;
  std::exception_ptr failure;
  try {
    busy = co_await written_back(most);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure || !busy.empty()) machine_.end_drain();
  if (failure) std::rethrow_exception(failure);
  co_return busy;
}

asio::awaitable<void> Drain::write_back(Clock::duration most) {
  const std::string busy = co_await written_back(most);
  if (!busy.empty()) throw not_written_back(busy, most);
}

asio::awaitable<std::string> Drain::written_back(Clock::duration most) {
  auto devices = machine_.devices_of_host();
  if (devices.empty()) co_return std::string();
  const auto start = Clock::now();
  const auto loop = co_await asio::this_coro::executor;
  net::Errand writing = for_each_device(loop, std::move(devices),
                                        [](vmm::Device& device) { device.prepare_release(); });
  const bool done = co_await writing.done(most);
  journal_.write([&](MigrationReport& report) { report.phases_ms.drain += ms_since(start); });
  co_return done ? std::string() : writing.busy_with();
}

}  // namespace migration::source
