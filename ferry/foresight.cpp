#include "ferry/foresight.hpp"

#include <fmt/format.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "ferry/controlled.hpp"
#include "migration/forecast/link_probe.hpp"
#include "migration/net/event_loop.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::MigrateOptions;
using migration::forecast::Forecast;
using migration::forecast::GuestSample;
using migration::forecast::GuestSampler;
using migration::forecast::LinkEstimate;
using nlohmann::json;

namespace {

constexpr const char* kLeaves = "cannot predict: the VM is about to leave this process";

/// A link, or why it cannot be told.
struct Probed {
  LinkEstimate link;
  std::string why_not;
};

asio::awaitable<Probed> probe(const MigrateOptions& options) {
  Probed probed;
  try {
    probed.link = co_await migration::forecast::probe_link(options.to, options.timeout);
  } catch (const std::exception& error) {
    probed.why_not = error.what();
  }
  co_return probed;
}

}  // namespace

Foresight::Foresight(asio::io_context& context, const VmOfProcess& vm, Arrival& arrival)
    : context_(context),
      vm_(vm),
      arrival_(arrival),
      timer_(context),
      ended_(context, asio::steady_timer::time_point::max()),
      thought_(context, asio::steady_timer::time_point::max()) {}

Foresight::~Foresight() {
  end();
  if (thread_.joinable()) thread_.join();
}

void Foresight::end() {
  if (const Look look = look_.lock()) look->request_stop();
  ended_.cancel();
}

asio::awaitable<json> Foresight::look(ForecastRequest request) {
  if (!look_.expired()) {
    throw Conflict("cannot predict: a prediction of this VM is being made: try again");
  }
  const Look look = std::make_shared<std::stop_source>();
  look_ = look;
  const LinkEstimate link = co_await link_of(request);
  GuestSample seen = co_await sample(look);
  const Forecast forecast = co_await run_model(std::move(seen), link, std::move(request), look);
  co_return to_json(forecast);
}

asio::awaitable<LinkEstimate> Foresight::link_of(const ForecastRequest& request) {
  using asio::experimental::awaitable_operators::operator||;
  const MigrateOptions& options = request.options;
  LinkEstimate link;
  if (request.probes) {
    const auto first = co_await (probe(options) || ended());
    if (first.index() != 0) throw Conflict(kLeaves);
    const Probed& probed = std::get<Probed>(first);
    if (!probed.why_not.empty()) {
      throw Conflict(
          fmt::format("cannot predict: the link to {} cannot be probed: {}. Name what it "
                      "carries by --max-bandwidth instead of --to",
                      migration::to_string(options.to), probed.why_not));
    }
    link = probed.link;
  }
  link.cap = options.max_bandwidth;
  if (!request.probes) link.bytes_per_second = static_cast<double>(link.cap);
  co_return link;
}

asio::awaitable<void> Foresight::ended() {
  boost::system::error_code ignored;
  co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<GuestSample> Foresight::sample(Look look) {
  vmm::Machine* const machine = vm_.machine();
  if (machine == nullptr) throw Conflict(kLeaves);
  std::optional<vmm::PageSet> changed;
  if (const auto since = arrival_.tracked_since()) {
    changed = since->changed;
    *changed |= machine->dirty_log().read();
  }
  GuestSampler sampler(machine->memory());
  while (const auto next = sampler.step()) {
    timer_.expires_after(*next);
    co_await timer_.async_wait(asio::use_awaitable);
    if (look->stop_requested()) throw Conflict(kLeaves);
  }
  GuestSample sample = sampler.take();
  sample.changed = std::move(changed);
  co_return sample;
}

asio::awaitable<Forecast> Foresight::run_model(GuestSample sample, LinkEstimate link,
                                               ForecastRequest request, Look look) {
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
      [over, cpus, link, sample = std::move(sample), request = std::move(request),
       stop = look->get_token()] {
        over(migration::forecast::forecast(sample, link, request.options, cpus, request.energy,
                                           stop),
             nullptr);
      },
      [over](std::exception_ptr failure) { over(std::nullopt, std::move(failure)); });
  // Whatever ends it, the thread has its last word before another look can be taken.
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!result_ && !failure_) {
    boost::system::error_code thought;
    co_await thought_.async_wait(asio::redirect_error(asio::use_awaitable, thought));
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) look->request_stop();
  }
  if (look->stop_requested()) throw Conflict(kLeaves);
  if (failure_) std::rethrow_exception(failure_);
  co_return *std::exchange(result_, std::nullopt);
}

}  // namespace ferry
