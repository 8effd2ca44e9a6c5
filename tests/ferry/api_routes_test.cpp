#include "ferry/api_routes.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <initializer_list>
#include <stdexcept>
#include <string>

#include "ferry/forecast_request.hpp"
#include "ferry/migrate_request.hpp"
#include "vmm/text/json_text.hpp"

namespace ferry {
namespace {

namespace http = boost::beast::http;
using nlohmann::json;

/// Notes what it is asked for.
class FakeVm final : public Controlled {
 public:
  [[nodiscard]] json info() const override {
    if (broken) throw std::runtime_error("broken\n");
    return {{"name", "caf\xe9"}};
  }
  void pause() override { asked += "pause "; }
  void resume(bool force) override { asked += force ? "force " : "resume "; }
  void stop() override { asked += "stop "; }
  void cancel() override { throw Conflict("nothing \xff to cancel"); }
  std::shared_ptr<ReportStream> migrate(const json& options) override {
    static_cast<void>(migrate_options_from_json(options));
    asked += "migrate ";
    return nullptr;
  }
  void set(const json& settings) override {
    static_cast<void>(migrate_settings_from_json(settings));
    asked += "set ";
  }
  void set_balloon(const json& request) override {
    asked += "balloon " + std::to_string(balloon_from_json(request)) + " ";
  }
  boost::asio::awaitable<json> forecast(json request) override {
    static_cast<void>(forecast_request_from_json(request));
    asked += "forecast ";
    co_return json{{"choice", "pre-copy"}};
  }

  std::string asked;
  bool broken = false;
};

ApiAnswer answer(FakeVm& vm, http::verb verb, const std::string& target,
                 const std::string& body = "") {
  ApiRequest request(verb, target, 11);
  request.body() = body;
  return answer_to(vm, request);
}

http::status status(http::verb verb, const std::string& target, const std::string& body = "") {
  FakeVm vm;
  return answer(vm, verb, target, body).status;
}

TEST(ApiRoutes, DoWhatIsAsked) {
  FakeVm vm;
  EXPECT_EQ(answer(vm, http::verb::get, "/info").status, http::status::ok);
  EXPECT_EQ(answer(vm, http::verb::head, "/info").status, http::status::ok);
  answer(vm, http::verb::post, "/pause");
  answer(vm, http::verb::post, "/resume");
  answer(vm, http::verb::post, "/resume", R"({"force":true})");
  answer(vm, http::verb::post, "/stop", "{}");
  answer(vm, http::verb::post, "/migrate", R"({"to":"tcp:h:1"})");
  answer(vm, http::verb::put, "/migration", R"({"max_bandwidth":0})");
  answer(vm, http::verb::put, "/balloon", R"({"target":4096})");
  EXPECT_EQ(vm.asked, "pause resume force stop migrate set balloon 4096 ");
}

TEST(ApiRoutes, AnswerForecastsInTheirOwnTime) {
  const auto forecast = [](const char* body) {
    FakeVm vm;
    ApiRequest request(http::verb::get, "/forecast?x", 11);
    request.body() = body;
    ApiAnswer answer;
    boost::asio::io_context context;
    boost::asio::co_spawn(
        context, found_out(answer_to(vm, request)),
        [&](const std::exception_ptr&, ApiAnswer made) { answer = std::move(made); });
    context.run();
    return answer;
  };
  EXPECT_EQ(forecast(R"({"max_bandwidth":1000})").body, (json{{"choice", "pre-copy"}}));
  EXPECT_EQ(
      forecast(R"({"to":"tcp:h:1","energy":{"joules_per_byte":1e-7,"joules":0,"source":"x"}})")
          .status,
      http::status::ok);
  for (const char* unsound :
       {"", "[]", R"({"max_bandwidth":0})", R"({"max_bandwidth":1,"x":1})",
        R"({"max_bandwidth":1,"energy":{}})",
        R"({"max_bandwidth":1,"energy":{"joules_per_byte":-1,"joules":0,"source":"x"}})",
        R"({"max_bandwidth":1,"energy":{"joules_per_byte":0,"joules":"0","source":"x"}})"}) {
    EXPECT_EQ(forecast(unsound).status, http::status::bad_request) << unsound;
  }
}

TEST(ApiRoutes, TakeThePathAloneFromTheTarget) {
  for (const char* target : {"/info?x=1", "/info?", "http://ferry/info", "http://ferry/info?a/b"}) {
    EXPECT_EQ(status(http::verb::get, target), http::status::ok) << target;
  }
  for (const char* target :
       {"/", "", "*", "/info/", "/infos", "http://ferry", "/\xff", "//info", "?/info"}) {
    EXPECT_EQ(status(http::verb::get, target), http::status::not_found) << target;
  }
}

TEST(ApiRoutes, SayWhichVerbsAPathHas) {
  FakeVm vm;
  for (const http::verb verb : {http::verb::post, http::verb::put, http::verb::delete_,
                                http::verb::options, http::verb::unknown}) {
    const ApiAnswer seen = answer(vm, verb, "/info");
    EXPECT_EQ(seen.status, http::status::method_not_allowed);
    EXPECT_EQ(seen.allow, "GET, HEAD");
  }
  EXPECT_EQ(answer(vm, http::verb::get, "/pause").allow, "POST");
  EXPECT_EQ(answer(vm, http::verb::head, "/stop").status, http::status::method_not_allowed);
  EXPECT_EQ(answer(vm, http::verb::post, "/migration").allow, "PUT");
  EXPECT_EQ(vm.asked, "");
}

TEST(ApiRoutes, TreatWhatIsInTheBodyAlike) {
  struct Form {
    http::verb verb;
    const char* target;
    const char* sound;
  };
  for (const Form& form :
       {Form{http::verb::get, "/info", ""}, Form{http::verb::post, "/pause", ""},
        Form{http::verb::post, "/resume", ""}, Form{http::verb::post, "/stop", ""},
        Form{http::verb::post, "/cancel", ""},
        Form{http::verb::post, "/migrate", R"("to":"unix:/b",)"},
        Form{http::verb::put, "/migration", ""},
        Form{http::verb::put, "/balloon", R"("target":0,)"}}) {
    FakeVm vm;
    const ApiAnswer unknown =
        answer(vm, form.verb, form.target, std::string("{") + form.sound + R"("speed":1})");
    EXPECT_EQ(unknown.status, http::status::bad_request) << form.target;
    EXPECT_NE(unknown.body.at("error").get<std::string>().find("'speed'"), std::string::npos);
    for (const std::string& body :
         {std::string("[]"), std::string("7"), std::string("null"), std::string("{"),
          std::string("{\"\xff\":1}"), std::string(10'000, '[')}) {
      EXPECT_EQ(answer(vm, form.verb, form.target, body).status, http::status::bad_request)
          << form.target << body;
    }
    EXPECT_EQ(vm.asked, "") << form.target;
  }
  EXPECT_EQ(status(http::verb::post, "/resume", R"({"force":1})"), http::status::bad_request);
  EXPECT_EQ(status(http::verb::post, "/resume", R"({"force":null})"), http::status::bad_request);
}

TEST(ApiRoutes, AnswerInJsonWhateverTheTextsAre) {
  FakeVm vm;
  const ApiAnswer conflict = answer(vm, http::verb::post, "/cancel");
  EXPECT_EQ(conflict.status, http::status::conflict);
  EXPECT_EQ(conflict.body.at("error"), "nothing ? to cancel");
  for (const std::string& target : {std::string("/\xff"), "/" + std::string(78, 'a') + "\xc3\xa9",
                                    "/" + std::string(500, '\xc3'), std::string("/\xc2\x9b[31m")}) {
    const ApiAnswer seen = answer(vm, http::verb::get, target);
    EXPECT_EQ(seen.status, http::status::not_found);
    const std::string text = vmm::json_text(seen.body);
    EXPECT_LT(text.size(), 200U);
    EXPECT_EQ(json::parse(text), seen.body);
    EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
  }
  EXPECT_FALSE(vmm::json_text(answer(vm, http::verb::get, "/info").body).empty());
}

TEST(ApiRoutes, TellAFailureOfOurOwn) {
  FakeVm vm;
  vm.broken = true;
  const ApiAnswer seen = answer(vm, http::verb::get, "/info");
  EXPECT_EQ(seen.status, http::status::internal_server_error);
  EXPECT_EQ(seen.body.at("error"), "broken?");
}

}  // namespace
}  // namespace ferry
