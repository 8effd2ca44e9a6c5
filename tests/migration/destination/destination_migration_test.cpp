#include "migration/destination/destination_migration.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "migration/base/address.hpp"

namespace migration {
namespace {

using namespace std::chrono_literals;

/// Long enough for anything but what never comes.
constexpr auto kLong = 20s;

/// A receiver that waits for nobody any more has nothing left to do, and is still asked to end.
TEST(DestinationMigration, AnswersWhoDeclinesAfterItCouldNotListen) {
  std::promise<DestinationMigration::Failure> failed;
  DestinationMigration::Callbacks callbacks;
  callbacks.message = [](const std::string&) {};
  callbacks.failed = [&failed, told = false](const DestinationMigration::Failure& failure) mutable {
    if (!std::exchange(told, true)) failed.set_value(failure);
  };
  DestinationMigration receiver({.listen = parse_address("tcp:no.such.host.invalid:0")}, nullptr,
                                callbacks);
  auto failure = failed.get_future();
  ASSERT_EQ(failure.wait_for(kLong), std::future_status::ready);
  EXPECT_NE(failure.get().why.find("no.such.host.invalid"), std::string::npos);
  // Nothing tells when its thread has done all that it had to.
  std::this_thread::sleep_for(50ms);
  std::promise<void> done;
  receiver.decline([&done] { done.set_value(); });
  EXPECT_EQ(done.get_future().wait_for(kLong), std::future_status::ready);
}

}  // namespace
}  // namespace migration
