#include "migration/net/lookup.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "migration/net/socket.hpp"
#include "tests/migration/names.hpp"

namespace migration::net {
namespace {

constexpr std::chrono::seconds kPatience{20};

/// What became of a coroutine: it ended well, or why it did not.
auto into(std::string& said) {
  return [&said](std::exception_ptr failure) {
    said = "ended well";
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      said = error.what();
    }
  };
}

asio::awaitable<void> ask(Address address, std::chrono::milliseconds limit) {
  static_cast<void>(co_await look_up(address, limit));
}

asio::awaitable<void> call(Address address, std::chrono::milliseconds limit) {
  static_cast<void>(co_await dial(address, limit));
}

Address silent() { return parse_address(std::string("tcp:") + SilentNames::kName + ":7000"); }

TEST(LookUp, TakesNoThreadForAnAddress) {
  EXPECT_EQ(endpoints_of(parse_address("tcp:127.0.0.1:7")).size(), 1U);
  EXPECT_EQ(endpoints_of(parse_address("tcp:[::1]:7")).size(), 1U);
  EXPECT_EQ(endpoints_of(parse_address("unix:/x")).size(), 1U);
  EXPECT_TRUE(endpoints_of(parse_address("tcp:localhost:7")).empty());
}

TEST(LookUp, FindsEachAddressOfANameOnce) {
  asio::io_context context;
  std::vector<Endpoint> found;
  asio::co_spawn(context, look_up(parse_address("tcp:localhost:7"), kPatience),
                 [&](std::exception_ptr failure, std::vector<Endpoint> endpoints) {
                   EXPECT_FALSE(failure);
                   found = std::move(endpoints);
                 });
  context.run_for(kPatience);
  EXPECT_FALSE(found.empty());
  for (std::size_t i = 1; i < found.size(); ++i) EXPECT_NE(found[i - 1], found[i]);
}

TEST(LookUp, SaysWhyInItsOwnWordsAlone) {
  asio::io_context context;
  std::string said;
  asio::co_spawn(context, ask(parse_address("tcp:no.such.host.invalid:7"), kPatience), into(said));
  context.run_for(kPatience);
  EXPECT_EQ(said.find("cannot resolve tcp:no.such.host.invalid:7: "), 0U) << said;
  EXPECT_EQ(said.find("route"), std::string::npos) << said;
}

TEST(LookUp, DialsNoLongerThanTheTimeoutAllowsForAll) {
  const SilentNames names;
  asio::io_context context;
  std::string said;
  asio::co_spawn(context, call(silent(), std::chrono::milliseconds(50)), into(said));
  context.run_for(kPatience);
  EXPECT_EQ(said, "cannot resolve tcp:silent.test:7000: no name server has answered within 50 ms");
}

TEST(LookUp, EndsWhenItIsCancelled) {
  const SilentNames names;
  asio::io_context context;
  asio::cancellation_signal cancel;
  std::string said;
  asio::co_spawn(context, call(silent(), std::chrono::hours(1)),
                 asio::bind_cancellation_slot(cancel.slot(), into(said)));
  context.poll();
  ASSERT_TRUE(SilentNames::wait_asked(1));
  EXPECT_EQ(said, "");
  cancel.emit(asio::cancellation_type::terminal);
  context.run_for(kPatience);
  EXPECT_NE(said.find("canceled"), std::string::npos) << said;
}

TEST(LookUp, OutlivesWhoeverAsked) {
  const SilentNames names;
  auto context = std::make_unique<asio::io_context>();
  std::string said;
  asio::co_spawn(*context, ask(silent(), std::chrono::hours(1)), into(said));
  context->poll();
  ASSERT_TRUE(SilentNames::wait_asked(1));
  context.reset();
  EXPECT_EQ(said, "");
}

/// The thread answers whenever it is done: before, after, and while the context comes to its end.
TEST(LookUp, MayBeAnsweredWhileWhoeverAskedComesToHisEnd) {
  constexpr int kTimes = 200;
  for (int i = 0; i < kTimes; ++i) {
    std::string said;
    {
      asio::io_context context;
      asio::co_spawn(context, ask(parse_address("tcp:localhost:7"), kPatience), into(said));
      context.poll();
      std::this_thread::sleep_for(std::chrono::microseconds(5 * i));
    }
    // On a busy machine as many are under way as may be.
    ASSERT_TRUE(said.empty() || said == "ended well" || said.find("as many") != said.npos) << said;
  }
}

TEST(LookUp, IsDoneForAFewAtATime) {
  constexpr unsigned kMany = 40;
  const SilentNames names;
  asio::io_context context;
  std::vector<std::string> said(kMany);
  for (std::string& each : said) {
    asio::co_spawn(context, ask(silent(), std::chrono::milliseconds(50)), into(each));
  }
  context.run_for(kPatience);
  unsigned refused = 0;
  for (const std::string& each : said) {
    if (each.find("as many names are being looked up") != std::string::npos) ++refused;
  }
  EXPECT_GE(refused, kMany - 16);
  EXPECT_LT(refused, kMany);
}

}  // namespace
}  // namespace migration::net
