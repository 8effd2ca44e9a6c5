#include "ferry/foresight.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/controlled.hpp"
#include "migration/forecast/link_probe.hpp"
#include "migration/net/event_loop.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::forecast::Forecast;
using migration::forecast::GuestSample;
using migration::forecast::GuestSampler;
using migration::forecast::LinkEstimate;
using nlohmann::json;

namespace {

constexpr const char* kLeaves = "cannot predict: the VM is about to leave this process";

/// Set for as long as it lives.
class During {
 public:
  explicit During(bool& flag) : flag_(flag) { flag_ = true; }
  ~During() { flag_ = false; }
  During(const During&) = delete;
  During& operator=(const During&) = delete;

 private:
  bool& flag_;
};

}  // namespace

Foresight::Foresight(asio::io_context& context, const VmOfProcess& vm, Arrival& arrival)
    : context_(context),
      vm_(vm),
      arrival_(arrival),
      timer_(context),
      thought_(context, asio::steady_timer::time_point::max()) {}

Foresight::~Foresight() {
  end();
  if (thread_.joinable()) thread_.join();
}

void Foresight::end() {
  ended_ = true;
  timer_.cancel();
}

asio::awaitable<json> Foresight::look(ForecastRequest request) {
  if (looking_) throw Conflict("cannot predict: a prediction of this VM is being made: try again");
  const During looking(looking_);
  const LinkEstimate link = co_await link_of(request);
  GuestSample seen = co_await sample();
  const Forecast forecast = co_await run_model(std::move(seen), link, std::move(request));
  co_return to_json(forecast);
}

asio::awaitable<LinkEstimate> Foresight::link_of(const ForecastRequest& request) {
  LinkEstimate link;
  if (request.probes) {
    std::string why;
    try {
      link = co_await migration::forecast::probe_link(request.options.to, request.options.timeout);
    } catch (const std::exception& error) {
      why = error.what();
    }
    if (!why.empty()) {
      throw Conflict(
          fmt::format("cannot predict: the link to {} cannot be probed: {}. Name what it "
                      "carries by --max-bandwidth instead of --to",
                      migration::to_string(request.options.to), why));
    }
  }
  link.cap = request.options.max_bandwidth;
  if (!request.probes) link.bytes_per_second = static_cast<double>(link.cap);
  co_return link;
}

asio::awaitable<GuestSample> Foresight::sample() {
  vmm::Machine* const machine = vm_.machine();
  if (machine == nullptr) throw Conflict(kLeaves);
  std::optional<vmm::PageSet> changed;
  if (const auto since = arrival_.tracked_since()) {
    changed = since->changed;
    *changed |= machine->dirty_log().read();
  }
  ended_ = false;
  GuestSampler sampler(machine->memory());
  while (const auto next = sampler.step()) {
    boost::system::error_code cancelled;
    timer_.expires_after(*next);
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    if (ended_) throw Conflict(kLeaves);
  }
  GuestSample sample = sampler.take();
  sample.changed = std::move(changed);
  co_return sample;
}

asio::awaitable<Forecast> Foresight::run_model(GuestSample sample, LinkEstimate link,
                                               ForecastRequest request) {
  result_.reset();
  failure_ = nullptr;
  if (thread_.joinable()) thread_.join();  // of a forecast before, which is over
  const unsigned cpus = vm_.config()->cpus;
  const auto over = [this](std::optional<Forecast> result, std::exception_ptr failure) {
    asio::post(context_, [this, result = std::move(result), failure = std::move(failure)] {
      result_ = result;
      failure_ = failure;
      thought_.cancel();
    });
  };
  thread_ = vmm::Thread(
      vmm::ThreadRole::forecast,
      [over, cpus, link, sample = std::move(sample), request = std::move(request)] {
        over(migration::forecast::forecast(sample, link, request.options, cpus, request.energy),
             nullptr);
      },
      [over](std::exception_ptr failure) { over(std::nullopt, std::move(failure)); });
  while (!result_ && !failure_) {
    boost::system::error_code thought;
    co_await thought_.async_wait(asio::redirect_error(asio::use_awaitable, thought));
  }
  if (failure_) std::rethrow_exception(failure_);
  co_return *std::exchange(result_, std::nullopt);
}

}  // namespace ferry
