#include "migration/net/errand.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace migration::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 20s;
constexpr auto kRole = vmm::ThreadRole::device;

/// A host that does not answer until it is let go.
class Hanging {
 public:
  [[nodiscard]] Errand::Call call() const {
    return [opened = opened_](const Errand::At& at) {
      at("the disk");
      opened.wait();
    };
  }
  void let_go() { open_.set_value(); }

 private:
  std::promise<void> open_;
  std::shared_future<void> opened_ = open_.get_future().share();
};

asio::awaitable<void> ask(Errand& errand, std::chrono::milliseconds limit, std::string& said) {
  said = "waits";
  const bool done = co_await errand.done(limit);
  said = "done";
  if (!done) said = "not done: " + errand.busy_with();
}

class ErrandTest : public testing::Test {
 protected:
  [[nodiscard]] Errand begin(Errand::Call call) {
    return {context_.get_executor(), kRole, std::move(call)};
  }
  std::string wait_for(Errand& errand, std::chrono::milliseconds limit) {
    std::string said;
    asio::co_spawn(context_, ask(errand, limit, said), [&](std::exception_ptr failure) {
      try {
        if (failure) std::rethrow_exception(failure);
      } catch (const std::exception& error) {
        said = error.what();
      }
    });
    context_.restart();
    context_.run_for(kPatience);
    return said;
  }

  asio::io_context context_;
};

TEST_F(ErrandTest, IsWaitedFor) {
  Errand errand = begin([](const Errand::At&) {});
  EXPECT_EQ(wait_for(errand, kPatience), "done");
  EXPECT_EQ(wait_for(errand, kPatience), "done");
}

TEST_F(ErrandTest, FailsAsItsCallDoes) {
  Errand errand = begin([](const Errand::At&) { throw std::runtime_error("no such disk"); });
  EXPECT_EQ(wait_for(errand, kPatience), "no such disk");
  EXPECT_EQ(wait_for(errand, kPatience), "no such disk");
}

TEST_F(ErrandTest, ThatHangsIsGivenUpByNameAndMayBeAskedAgain) {
  Hanging host;
  Errand errand = begin(host.call());
  EXPECT_EQ(wait_for(errand, 50ms), "not done: the disk");
  host.let_go();
  EXPECT_EQ(wait_for(errand, kPatience), "done");
}

TEST_F(ErrandTest, MayGoAsSoonAsOneOfThoseWhoAskHasHeard) {
  Hanging host;
  std::optional<Errand> errand = begin(host.call());
  std::string first;
  std::string second;
  for (std::string* said : {&first, &second}) {
    asio::co_spawn(context_, ask(*errand, kPatience, *said),
                   [&](const std::exception_ptr&) { errand.reset(); });
  }
  context_.poll();
  host.let_go();
  context_.run_for(kPatience);
  EXPECT_EQ(first, "done");
  EXPECT_EQ(second, "done");
}

TEST_F(ErrandTest, LeavesTheLoopToOthersMeanwhile) {
  Hanging host;
  Errand errand = begin(host.call());
  asio::post(context_, [&] { host.let_go(); });
  EXPECT_EQ(wait_for(errand, kPatience), "done");
}

TEST_F(ErrandTest, EndsItsWaitWhenItIsCancelled) {
  Hanging host;
  Errand errand = begin(host.call());
  asio::cancellation_signal cancel;
  std::string said;
  bool failed = false;
  asio::co_spawn(
      context_, ask(errand, 1h, said),
      asio::bind_cancellation_slot(cancel.slot(),
                                   [&](const std::exception_ptr& failure) { failed = !!failure; }));
  context_.poll();
  EXPECT_EQ(said, "waits");
  cancel.emit(asio::cancellation_type::terminal);
  context_.run_for(kPatience);
  EXPECT_TRUE(failed);
  host.let_go();
}

TEST_F(ErrandTest, HoldsOnToNothingOnceItIsDone) {
  auto held = std::make_shared<int>();
  const std::weak_ptr<int> weak = held;
  Errand errand = begin([held = std::move(held)](const Errand::At&) {});
  EXPECT_EQ(wait_for(errand, kPatience), "done");
  EXPECT_TRUE(weak.expired());
}

TEST_F(ErrandTest, IsBegunForAFewAtATime) {
  Hanging host;
  std::vector<Errand> errands;
  const auto begin_all = [&] {
    for (unsigned i = 0; i <= Errand::most_at_once(kRole); ++i)
      errands.push_back(begin(host.call()));
  };
  EXPECT_THROW(begin_all(), std::system_error);
  EXPECT_LE(errands.size(), Errand::most_at_once(kRole));
  host.let_go();
  for (Errand& errand : errands) EXPECT_EQ(wait_for(errand, kPatience), "done");
  Errand another = begin(host.call());
  EXPECT_EQ(wait_for(another, kPatience), "done");
}

}  // namespace
}  // namespace migration::net
