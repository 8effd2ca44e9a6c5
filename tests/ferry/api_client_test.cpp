#include "ferry/api_client.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ferry/exit_status.hpp"

namespace ferry {
namespace {

using nlohmann::json;

/// A control socket on which one request is answered with these bytes, whatever it is.
class Answerer {
 public:
  explicit Answerer(std::string answer)
      : path_(testing::TempDir() + "answerer-" + std::to_string(::getpid()) + ".sock") {
    ::unlink(path_.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    thread_ = std::thread([this, answer = std::move(answer)] {
      const int client = ::accept(listener_, nullptr, nullptr);
      std::array<char, 4096> request{};
      static_cast<void>(::recv(client, request.data(), request.size(), 0));
      static_cast<void>(::send(client, answer.data(), answer.size(), MSG_NOSIGNAL));
      ::close(client);
    });
  }
  ~Answerer() {
    thread_.join();
    ::close(listener_);
    ::unlink(path_.c_str());
  }
  Answerer(const Answerer&) = delete;
  Answerer& operator=(const Answerer&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  int listener_ = -1;
  std::thread thread_;
};

json ask(const std::string& path, std::function<void(const json&)> on_line = nullptr) {
  boost::asio::io_context context{1};
  std::exception_ptr failure;
  json answer;
  boost::asio::co_spawn(context,
                        api_request(path, "GET", "/info", json::object(), std::move(on_line)),
                        [&](std::exception_ptr error, json result) {
                          failure = error;
                          answer = std::move(result);
                        });
  context.run();
  if (failure) std::rethrow_exception(failure);
  return answer;
}

std::string with_body(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

struct Refusal {
  ExitStatus status = ExitStatus::ok;
  std::string why;
};

Refusal client_refusal(const std::string& answer,
                       std::function<void(const json&)> on_line = nullptr) {
  const Answerer answerer(answer);
  try {
    static_cast<void>(ask(answerer.path(), std::move(on_line)));
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find(answerer.path()) != std::string::npos,
              failure.status() == ExitStatus::failed)
        << failure.what();
    return {failure.status(), failure.what()};
  }
  return {};
}

TEST(ApiClient, ReturnsWhatIsAnswered) {
  const Answerer answerer(with_body("200 OK", "{\"state\":\"running\"}\n"));
  EXPECT_EQ(ask(answerer.path()).at("state"), "running");
}

TEST(ApiClient, TakesAnAnswerWithoutTheEndOfALine) {
  const Answerer answerer(with_body("200 OK", "{\"a\":1}"));
  EXPECT_EQ(ask(answerer.path()).at("a"), 1);
}

TEST(ApiClient, TakesLinesInChunksAndUpToTheEndOfTheConnection) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "8\r\n{\"a\":1}\n\r\n10\r\n{\"a\":2}\n{\"a\":3}\n\r\n0\r\n\r\n",
                             "HTTP/1.0 200 OK\r\n\r\n{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n"}) {
    const Answerer answerer(answer);
    std::vector<int> seen;
    const json last =
        ask(answerer.path(), [&](const json& line) { seen.push_back(line.at("a").get<int>()); });
    EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(last.at("a"), 3);
  }
}

TEST(ApiClient, TellsAStrangerFromAFerry) {
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  for (const std::string& answer :
       {with_body("200 OK", ""), with_body("200 OK", "\n"),
        with_body("200 OK", "<html>hello</html>"), with_body("200 OK", "{\"a\":"),
        with_body("200 OK", "7\n"), with_body("200 OK", "[]\n"), with_body("200 OK", "null"),
        with_body("200 OK", "{\"a\":1}\ngarbage\n"), with_body("200 OK", "{\"a\":" + deep + "}\n"),
        with_body("200 OK", "{\"a\":\"\xff\"}\n"), with_body("404 Not Found", "<html>\n<p>no\n"),
        with_body("404 Not Found", ""), with_body("409 Conflict", "{\"error\":7}"),
        with_body("409 Conflict", "{\"why\":\"no\"}"), with_body("302 Found", ""),
        std::string("HTTP/1.1 204 No Content\r\n\r\n"),
        std::string("HTTP/1.1 100 Continue\r\n\r\n"), std::string("SSH-2.0-OpenSSH_9.2\r\n"),
        std::string(100, '\0')}) {
    const Refusal seen = client_refusal(answer);
    EXPECT_EQ(seen.status, ExitStatus::protocol) << answer << ": " << seen.why;
    EXPECT_NE(seen.why.find("no ferry"), std::string::npos) << answer << ": " << seen.why;
  }
}

TEST(ApiClient, TellsAStrangerByALineThatNoFerryWouldSend) {
  const auto foreign = [](const json& line) { static_cast<void>(line.at("outcome")); };
  EXPECT_EQ(client_refusal(with_body("200 OK", "{}\n"), foreign).status, ExitStatus::protocol);
  const auto wrong = [](const json&) { throw std::invalid_argument("none"); };
  EXPECT_EQ(client_refusal(with_body("200 OK", "{}\n"), wrong).status, ExitStatus::protocol);
}

TEST(ApiClient, SaysWhenTheAnswerDoesNotComeOrEndsEarly) {
  for (const char* answer :
       {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\"",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"a\":1}\n\r\n"}) {
    const Refusal seen = client_refusal(answer);
    EXPECT_EQ(seen.status, ExitStatus::unavailable) << answer << ": " << seen.why;
    EXPECT_NE(seen.why.find("no answer"), std::string::npos) << seen.why;
  }
}

TEST(ApiClient, PassesOnAReasonThatSteersNoTerminal) {
  const Refusal seen =
      client_refusal(with_body("409 Conflict", R"({"error":"not now\n\u001b[2J\u009b"})"));
  EXPECT_EQ(seen.status, ExitStatus::failed);
  EXPECT_EQ(seen.why, "not now??[2J?");
}

TEST(ApiClient, SaysWhenNobodyListens) {
  for (const char* path : {"/nonexistent/a.sock", "/etc/passwd"}) {
    try {
      static_cast<void>(ask(path));
      FAIL();
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.status(), ExitStatus::unavailable);
      EXPECT_NE(std::string(failure.what()).find(path), std::string::npos) << failure.what();
    }
  }
}

}  // namespace
}  // namespace ferry
