#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stop_token>

#include "ferry/arrival.hpp"
#include "ferry/forecast_request.hpp"
#include "ferry/vm_of_process.hpp"
#include "migration/forecast/guest_sampler.hpp"
#include "vmm/os/thread.hpp"

namespace ferry {

/// What a migration of the VM that is here would be like. It looks at the guest, in short steps of
/// the main thread, and lets the model run in a thread of its own. One forecast at a time. Main
/// thread only.
///
/// A look ends early when its coroutine is cancelled, as nobody waits for it any more.
class Foresight {
 public:
  Foresight(boost::asio::io_context& context, const VmOfProcess& vm, Arrival& arrival);
  ~Foresight();
  Foresight(const Foresight&) = delete;
  Foresight& operator=(const Foresight&) = delete;

  /// Conflict when it cannot be told, or not now. The VM is here, and lacks no page.
  boost::asio::awaitable<nlohmann::json> look(ForecastRequest request);
  /// The VM is about to leave, or to end: nobody looks at it any more.
  void end();

 private:
  /// Asked to stop when the look has to end.
  using Look = std::shared_ptr<std::stop_source>;

  boost::asio::awaitable<migration::forecast::LinkEstimate> link_of(const ForecastRequest& request);
  /// Until end().
  boost::asio::awaitable<void> ended();
  boost::asio::awaitable<migration::forecast::GuestSample> sample(Look look);
  boost::asio::awaitable<migration::forecast::Forecast> run_model(
      migration::forecast::GuestSample sample, migration::forecast::LinkEstimate link,
      ForecastRequest request, Look look);

  boost::asio::io_context& context_;
  const VmOfProcess& vm_;
  Arrival& arrival_;
  std::weak_ptr<std::stop_source> look_;  ///< that is being taken; its coroutine holds it
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer ended_;    ///< never expires: cancelled by end()
  boost::asio::steady_timer thought_;  ///< never expires: cancelled when the model has run
  std::optional<migration::forecast::Forecast> result_;
  std::exception_ptr failure_;
  vmm::Thread thread_;
};

}  // namespace ferry
