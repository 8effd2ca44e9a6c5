#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>

#include "migration/source/journal.hpp"
#include "vmm/machine/machine.hpp"

namespace migration::source {

/// The I/O of the guest's devices ends while the guest still runs, and what the host has cached of
/// its disks is written back, so that it does not stand for either. Requests that are not begun
/// meanwhile are served where it is next.
class Drain {
 public:
  using Clock = std::chrono::steady_clock;

  /// `timeout`: I/O that takes longer is taken to hang.
  Drain(vmm::Machine& machine, Journal& journal, std::chrono::milliseconds timeout)
      : machine_(machine), journal_(journal), timeout_(timeout) {}

  /// Whether all has ended within `most`; if not, the devices go on, and the stop has to wait for a
  /// while. After some tries it is waited for as long as in finish().
  boost::asio::awaitable<bool> within(Clock::duration most);
  /// std::runtime_error that names the device whose I/O has not ended within the timeout, or that
  /// the host has not written back within several.
  boost::asio::awaitable<void> finish();

 private:
  boost::asio::awaitable<bool> wait(Clock::duration most);
  /// These two name the device that is not done by then, if any.
  boost::asio::awaitable<std::string> write_back_rest(Clock::duration most);
  boost::asio::awaitable<std::string> written_back(Clock::duration most);
  boost::asio::awaitable<void> write_back(Clock::duration most);

  vmm::Machine& machine_;
  Journal& journal_;
  const std::chrono::milliseconds timeout_;
  int tries_ = 0;
};

}  // namespace migration::source
