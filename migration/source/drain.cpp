#include "migration/source/drain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

#include "migration/base/elapsed.hpp"

namespace migration::source {

namespace asio = boost::asio;

namespace {

/// So many rounds are added for I/O that takes longer than the guest may stand.
constexpr int kMostTries = 3;
/// For so long this thread may do nothing else.
constexpr std::chrono::milliseconds kAtATime{2};

}  // namespace

asio::awaitable<bool> Drain::within(Clock::duration most) {
  if (++tries_ > kMostTries) {
    co_await finish();
    co_return true;
  }
  const bool drained = co_await wait(most);
  if (!drained) machine_.end_drain();
  co_return drained;
}

asio::awaitable<void> Drain::finish() {
  if (co_await wait(timeout_)) co_return;
  const std::string busy = machine_.undrained();
  machine_.end_drain();
  throw std::runtime_error(
      fmt::format("{} has had I/O under way for {:.1f} s, and the guest cannot be stopped with it: "
                  "see what keeps the host's end of it",
                  busy, std::chrono::duration<double>(timeout_).count()));
}

asio::awaitable<bool> Drain::wait(Clock::duration most) {
  const auto start = Clock::now();
  machine_.begin_drain();
  bool drained = machine_.drained(Clock::now());
  while (!drained && Clock::now() - start < most) {
    drained = machine_.drained(std::min(Clock::now() + kAtATime, start + most));
    // Others of this thread have their turn, such as signs of life.
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
  journal_.write([&](MigrationReport& report) { report.phases_ms.drain += ms_since(start); });
  co_return drained;
}

}  // namespace migration::source
