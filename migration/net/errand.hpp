#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "vmm/os/thread.hpp"

namespace migration::net {

namespace asio = boost::asio;

/// A call that may wait for the host without end, such as for a name server or for a disk. It runs
/// in a thread that nobody joins, and that may outlive all but the process: it owns all that it
/// uses. So an event loop waits for it as for any other event.
class Errand {
 public:
  /// Tells what the call is about to wait for, for who gives up.
  using At = std::function<void(std::string)>;
  using Call = std::function<void(const At&)>;

  /// How many of a role are under way at most. A machine has up to 64 devices.
  [[nodiscard]] static constexpr unsigned most_at_once(vmm::ThreadRole role) {
    return role == vmm::ThreadRole::look_up ? 16 : 128;
  }

  /// Begins it. std::system_error when it cannot.
  Errand(const asio::any_io_executor& loop, vmm::ThreadRole role, Call call);

  /// Whether it has returned, for which it waits up to `limit`. Throws what the call threw, and
  /// std::system_error when the coroutine is cancelled. It may be asked again.
  [[nodiscard]] asio::awaitable<bool> done(std::chrono::steady_clock::duration limit);

  [[nodiscard]] std::string busy_with() const;

 private:
  using Descriptor = asio::posix::stream_descriptor;
  struct State;

  [[nodiscard]] static std::exception_ptr run(State& state, Call call);

  std::shared_ptr<State> state_;
  std::shared_ptr<Descriptor> here_;  ///< hangs up once the call has returned
};

}  // namespace migration::net
