#include "ferry/control_api.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <future>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "ferry/report_stream.hpp"

namespace ferry {
namespace {

namespace asio = boost::asio;
using nlohmann::json;
using Socket = asio::local::stream_protocol::socket;

/// A VM whose migrations never come to their end, and whose forecasts end when it is told so. After
/// arrive_unheard() its source never hears that it is here.
class EverMigrating final : public Controlled {
 public:
  explicit EverMigrating(asio::io_context& context)
      : context_(context),
        foreseen_(context, asio::steady_timer::time_point::max()),
        settled_(context, asio::steady_timer::time_point::max()) {}
  [[nodiscard]] json info() const override { return json::object(); }
  void pause() override {}
  void resume(bool /*force*/) override {}
  void stop() override {}
  void cancel() override {}
  asio::awaitable<void> settled() override {
    if (!unheard_) co_return;
    boost::system::error_code given_up;
    waiting_.set_value();
    co_await settled_.async_wait(asio::redirect_error(asio::use_awaitable, given_up));
    given_up_.set_value();
  }
  std::shared_ptr<ReportStream> migrate(const json& /*options*/) override {
    ++migrations_;
    return std::make_shared<ReportStream>(context_);
  }
  void set(const json& /*settings*/) override {}
  void set_balloon(const json& /*request*/) override {}
  asio::awaitable<json> forecast(json /*request*/) override {
    boost::system::error_code woken;
    ++looks_;
    co_await foreseen_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) given_up_.set_value();
    co_return json::object();
  }

  void foresee() {
    asio::post(context_, [this] { foreseen_.cancel(); });
  }
  void arrive_unheard() { unheard_ = true; }
  /// A migration is asked for, and waits.
  [[nodiscard]] std::future<void> waiting() { return waiting_.get_future(); }
  [[nodiscard]] int migrations() const { return migrations_; }
  /// Forecasts that were asked for.
  [[nodiscard]] int looks() const { return looks_; }
  /// One was cancelled, or the wait of a migration.
  [[nodiscard]] std::future<void> given_up() { return given_up_.get_future(); }

 private:
  asio::io_context& context_;
  asio::steady_timer foreseen_;  ///< never expires: cancelled for all forecasts to end
  asio::steady_timer settled_;   ///< never expires
  std::atomic<bool> unheard_ = false;
  std::atomic<int> migrations_ = 0;
  std::atomic<int> looks_ = 0;
  std::promise<void> waiting_;
  std::promise<void> given_up_;
};

/// The control API of such a VM, in a thread of its own.
class AControlApi : public ::testing::Test {
 public:
  AControlApi(const AControlApi&) = delete;
  AControlApi& operator=(const AControlApi&) = delete;
  ~AControlApi() override {
    context_.stop();
    thread_.join();
  }

 protected:
  AControlApi() : vm_(context_), api_(context_, path_, vm_), thread_([this] { context_.run(); }) {}

  Socket& send(const std::string& request) {
    Socket& client = clients_.emplace_back(ours_);
    client.connect(path_);
    asio::write(client, asio::buffer(request));
    return client;
  }
  /// What is answered first: its header, or an empty text when nothing is.
  static std::string answer_to(Socket& client) {
    std::string answer;
    boost::system::error_code closed;
    asio::read_until(client, asio::dynamic_buffer(answer), "\r\n\r\n", closed);
    return answer;
  }
  std::string ask(const std::string& request) { return answer_to(send(request)); }
  /// Asks for a forecast, which is being made then.
  Socket& forecast() {
    const int before = vm_.looks();
    Socket& client = send("GET /forecast HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (vm_.looks() == before && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    EXPECT_GT(vm_.looks(), before);
    return client;
  }
  std::string migrate() {
    return ask("POST /migrate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
  }
  std::string info() { return ask("GET /info HTTP/1.1\r\nHost: x\r\n\r\n"); }

  EverMigrating& vm() { return vm_; }

 private:
  const std::string path_ = testing::TempDir() + "control-" + std::to_string(::getpid()) + ".sock";
  asio::io_context context_{1};
  asio::io_context ours_;
  EverMigrating vm_;
  ControlApi api_;
  std::list<Socket> clients_;
  std::thread thread_;
};

TEST_F(AControlApi, AnswersWhoFindsNoPlaceAmongTheReportsOfMigrations) {
  constexpr int kPlaces = 32;
  for (int i = 0; i < kPlaces; ++i) {
    ASSERT_EQ(migrate().find("HTTP/1.1 200 "), 0U) << i;
  }
  const std::string answer = info();
  EXPECT_EQ(answer.find("HTTP/1.1 503 "), 0U) << answer;
  EXPECT_NE(answer.find("too many connections to this control socket"), std::string::npos);
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

TEST_F(AControlApi, BeginsNoMigrationForAClientThatHasGoneBefore) {
  vm().arrive_unheard();
  Socket& client = send("POST /migrate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
  ASSERT_EQ(vm().waiting().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  client.close();
  ASSERT_EQ(vm().given_up().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(info().find("HTTP/1.1 200 "), 0U);  // what came before is done with
  EXPECT_EQ(vm().migrations(), 0);
}

TEST_F(AControlApi, GivesTheNextAPlaceOfOneThatOnlyIdles) {
  constexpr int kMany = 40;
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(info().find("HTTP/1.1 200 "), 0U) << i;
}

TEST_F(AControlApi, KeepsThePlaceOfOneThatWaitsForAForecast) {
  constexpr int kMany = 40;
  Socket& client = forecast();
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(info().find("HTTP/1.1 200 "), 0U) << i;
  vm().foresee();
  EXPECT_EQ(answer_to(client).find("HTTP/1.1 200 "), 0U);
}

TEST_F(AControlApi, MakesNoForecastForAClientThatHasGone) {
  std::future<void> given_up = vm().given_up();
  forecast().close();
  EXPECT_EQ(given_up.wait_for(std::chrono::seconds{10}), std::future_status::ready);
}

TEST_F(AControlApi, AnswersAClientThatHasSaidAllThatItWillSay) {
  Socket& client = forecast();
  client.shutdown(Socket::shutdown_send);
  info();
  vm().foresee();
  EXPECT_EQ(answer_to(client).find("HTTP/1.1 200 "), 0U);
}

}  // namespace
}  // namespace ferry
