#include "migration/destination/destination_migration.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "migration/base/address.hpp"
#include "migration/net/connection.hpp"
#include "migration/net/socket.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/machine/machine_config.hpp"

namespace migration {
namespace {

using namespace std::chrono_literals;

/// Long enough for anything but what never comes.
constexpr auto kLong = 20s;

std::string sound_config() {
  vmm::MachineConfig config;
  config.id = vmm::make_uuid();
  config.name = "lisbon";
  config.memory_bytes = 16 << 20;
  config.cpus = 1;
  config.tsc_khz = 2'300'000;
  config.cpuid = {kvm_cpuid_entry2{}};
  config.devices = {{"disk0", 1}};
  config.needs = {.arch_capabilities = 0, .xsave_bytes = 4096, .event_flags = 0, .msrs = {0x10}};
  return vmm::to_json(config);
}

/// What the receiver answers to an offer of a VM.
boost::asio::awaitable<std::string> answer_of(Address to) {
  net::Socket socket = co_await net::dial(std::move(to), kLong);
  const auto connection = std::make_shared<net::Connection>(std::move(socket), kLong);
  co_await connection->greet(wire::Role::control);
  wire::Offer offer;
  offer.config = sound_config();
  offer.mode = "pre-copy";
  connection->send(wire::FrameType::offer, wire::encode(offer));
  const net::Frame frame = co_await connection->answer(kLong);
  if (frame.type != wire::FrameType::refused) co_return "it was not refused";
  co_return wire::decode<wire::Reason>(frame.payload).reason;
}

/// The same, where the test waits for it.
std::string ask(const Address& to) {
  boost::asio::io_context context;
  std::string answer = "nothing";
  boost::asio::co_spawn(context, answer_of(to),
                        [&](const std::exception_ptr& failure, std::string said) {
                          try {
                            if (failure) std::rethrow_exception(failure);
                            answer = std::move(said);
                          } catch (const std::exception& error) {
                            answer = error.what();
                          }
                        });
  context.run_for(kLong);
  return answer;
}

/// A disk may hang as it is opened: the receiver does not hang with it.
TEST(DestinationMigration, RefusesAVmWhoseDiskHangsAndServesOthersMeanwhile) {
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<Address> listening;
  bool hangs = true;
  const MachineFactory factory = [&, may_go = let_go.get_future().share()](
                                     const vmm::MachineConfig& config, const auto& opens) {
    opens(config.devices[0].id);
    if (std::exchange(hangs, false)) {
      begun.set_value();
      may_go.wait();
    }
    return [](std::uint64_t, const MakeRam&) -> std::unique_ptr<vmm::Machine> {
      throw std::runtime_error("all was opened");
    };
  };
  DestinationMigration::Callbacks callbacks;
  callbacks.listening = [&](const Address& at) { listening.set_value(at); };
  callbacks.message = [](const std::string&) {};
  DestinationMigration receiver(
      {.listen = parse_address("unix:" + testing::TempDir() + "ferry-hangs-" +
                               std::to_string(::getpid())),
       .timeout = 2s},
      factory, callbacks);
  const Address at = listening.get_future().get();
  auto first = std::async(std::launch::async, [&] { return ask(at); });
  ASSERT_EQ(begun.get_future().wait_for(kLong), std::future_status::ready) << first.get();
  EXPECT_EQ(ask(at), "this receiver already has a VM: start another 'ferry receive'");
  EXPECT_EQ(first.get(),
            "the host has not opened disk0 within 1.5 s, and the VM needs it: see what keeps it "
            "there");
  EXPECT_EQ(ask(at), "all was opened");
  let_go.set_value();
}

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
