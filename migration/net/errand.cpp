#include "migration/net/errand.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "vmm/os/mutex.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration::net {

/// What the thread and whoever waits share.
struct Errand::State {
  vmm::Mutex mutex;
  bool returned FERRY_GUARDED_BY(mutex) = false;
  std::exception_ptr failure FERRY_GUARDED_BY(mutex);
  std::string busy_with FERRY_GUARDED_BY(mutex);
  /// Goes when the call has returned: who waits sees the other end hang up. A context that is on
  /// its end must not be posted to.
  vmm::UniqueFd returning FERRY_GUARDED_BY(mutex);
};

namespace {

using boost::system::error_code;

std::atomic<unsigned>& under_way(vmm::ThreadRole role) {
  static std::atomic<unsigned> look_ups = 0;
  static std::atomic<unsigned> others = 0;
  return role == vmm::ThreadRole::look_up ? look_ups : others;
}

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

Errand::Errand(const asio::any_io_executor& loop, vmm::ThreadRole role, Call call)
    : state_(std::make_shared<State>()), here_(std::make_shared<Descriptor>(loop)) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) < 0) fail(errno, "pipe2");
  here_->assign(ends[0]);
  {
    const vmm::Lock lock(state_->mutex);
    state_->returning = vmm::UniqueFd(ends[1]);
  }
  std::atomic<unsigned>& others = under_way(role);
  if (++others > most_at_once(role)) {
    --others;
    fail(EBUSY, "as many calls as may be wait for the host already, and it does not answer");
  }
  try {
    auto body = [state = state_, call = std::move(call), &others]() mutable {
      std::exception_ptr failure = run(*state, std::move(call));
      --others;
      const vmm::Lock lock(state->mutex);
      state->returned = true;
      state->failure = std::move(failure);
      state->returning = {};
    };
    vmm::Thread(role, std::move(body), vmm::nothing_escapes).detach();
  } catch (...) {
    --others;
    throw;
  }
}

/// On return nothing is held on to any more that the call has used.
std::exception_ptr Errand::run(State& state, Call call) {
  try {
    call([&state](std::string what) {
      const vmm::Lock lock(state.mutex);
      state.busy_with = std::move(what);
    });
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

asio::awaitable<bool> Errand::done(std::chrono::steady_clock::duration limit) {
  // Who asks beside this one may drop the errand once it is done.
  const auto state = state_;
  const auto here = here_;
  asio::steady_timer timer(here->get_executor(), limit);
  timer.async_wait([weak = std::weak_ptr(here)](error_code early) {
    const auto waiting = weak.lock();
    if (!early && waiting) waiting->cancel();
  });
  error_code woken;
  co_await here->async_wait(Descriptor::wait_read,
                            asio::redirect_error(asio::use_awaitable, woken));
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  if (cancelled != asio::cancellation_type::none) fail(ECANCELED, "waiting for the host");
  const vmm::Lock lock(state->mutex);
  if (state->failure) std::rethrow_exception(state->failure);
  co_return state->returned;
}

std::string Errand::busy_with() const {
  const vmm::Lock lock(state_->mutex);
  return state_->busy_with;
}

}  // namespace migration::net
