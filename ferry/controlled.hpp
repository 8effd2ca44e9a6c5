#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>

namespace ferry {

class ReportStream;

/// The request makes sense and cannot be granted now: HTTP 409. The message says why.
class Conflict : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What the control API can ask of a process that has a VM. Each function throws Conflict, or
/// std::invalid_argument for a request that makes no sense.
class Controlled {
 public:
  virtual ~Controlled() = default;
  [[nodiscard]] virtual nlohmann::json info() const = 0;
  virtual void pause() = 0;
  virtual void resume(bool force) = 0;
  virtual void stop() = 0;
  virtual void cancel() = 0;
  /// Until the VM may go on to another host, or for a while if that does not come about: to be
  /// awaited before `migrate`.
  virtual boost::asio::awaitable<void> settled() { co_return; }
  virtual std::shared_ptr<ReportStream> migrate(const nlohmann::json& options) = 0;
  virtual void set(const nlohmann::json& settings) = 0;
  /// What a migration would be like. Takes a few seconds.
  virtual boost::asio::awaitable<nlohmann::json> forecast(nlohmann::json request) = 0;
  virtual void set_balloon(const nlohmann::json& request) = 0;
};

}  // namespace ferry
