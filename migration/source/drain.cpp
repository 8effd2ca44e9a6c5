#include "migration/source/drain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

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

/// Work in a thread that nobody joins: the host may never answer.
class Aside {
 public:
  explicit Aside(std::function<void()> work) {
    vmm::Thread thread(
        vmm::ThreadRole::device,
        [state = state_, work = std::move(work)] {
          work();
          state->finish(nullptr);
        },
        [state = state_](const std::exception_ptr& failure) { state->finish(failure); });
    thread.detach();
  }

  /// Whether it is done by then. Throws what it threw.
  [[nodiscard]] bool done(Drain::Clock::time_point deadline) {
    vmm::Lock lock(state_->mutex);
    const bool done = state_->changed.wait_until(lock, deadline, [this] { return state_->done; });
    if (state_->failure) std::rethrow_exception(state_->failure);
    return done;
  }

 private:
  struct State {
    vmm::Mutex mutex;
    vmm::Condition changed;
    bool done = false;
    std::exception_ptr failure;

    void finish(std::exception_ptr why) {
      const vmm::Lock lock(mutex);
      done = true;
      failure = std::move(why);
      changed.notify_all();
    }
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

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
    done = co_await write_back_rest(most);
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
  const bool written = co_await write_back_rest(timeout_);
  if (!written) throw std::runtime_error(kNotWrittenBack);
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
asio::awaitable<bool> Drain::write_back_rest(Clock::duration most) {
  bool done = false;
  std::exception_ptr failure;
  try {
    done = co_await written_back(most);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!done) machine_.end_drain();
  if (failure) std::rethrow_exception(failure);
  co_return done;
}

asio::awaitable<void> Drain::write_back(Clock::duration most) {
  const bool done = co_await written_back(most);
  if (!done) throw std::runtime_error(kNotWrittenBack);
}

asio::awaitable<bool> Drain::written_back(Clock::duration most) {
  auto work = machine_.preparation_of_release();
  if (!work) co_return true;
  const auto start = Clock::now();
  Aside aside(std::move(work));
  bool done = aside.done(start + kAtATime);
  while (!done && Clock::now() - start < most) {
    co_await give_way();
    done = aside.done(Clock::now() + kAtATime);
  }
  journal_.write([&](MigrationReport& report) { report.phases_ms.drain += ms_since(start); });
  co_return done;
}

}  // namespace migration::source
