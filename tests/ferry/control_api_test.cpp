#include "ferry/control_api.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
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

/// A VM whose migrations never come to their end.
class EverMigrating final : public Controlled {
 public:
  explicit EverMigrating(asio::io_context& context) : context_(context) {}
  [[nodiscard]] json info() const override { return json::object(); }
  void pause() override {}
  void resume(bool /*force*/) override {}
  void stop() override {}
  void cancel() override {}
  std::shared_ptr<ReportStream> migrate(const json& /*options*/) override {
    return std::make_shared<ReportStream>(context_);
  }
  void set(const json& /*settings*/) override {}
  void set_balloon(const json& /*request*/) override {}
  asio::awaitable<json> forecast(json /*request*/) override { co_return json::object(); }

 private:
  asio::io_context& context_;
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

  /// What is answered first: its header, or an empty text when nothing is.
  std::string ask(const std::string& request) {
    Socket& client = clients_.emplace_back(ours_);
    client.connect(path_);
    asio::write(client, asio::buffer(request));
    std::string answer;
    boost::system::error_code closed;
    asio::read_until(client, asio::dynamic_buffer(answer), "\r\n\r\n", closed);
    return answer;
  }
  std::string migrate() {
    return ask("POST /migrate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
  }
  std::string info() { return ask("GET /info HTTP/1.1\r\nHost: x\r\n\r\n"); }

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

TEST_F(AControlApi, GivesTheNextAPlaceOfOneThatOnlyIdles) {
  constexpr int kMany = 40;
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(info().find("HTTP/1.1 200 "), 0U) << i;
}

}  // namespace
}  // namespace ferry
