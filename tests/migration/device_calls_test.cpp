#include "migration/source/device_calls.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "tests/migration/hanging_device.hpp"

namespace migration::source {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

class ConfigToOffer : public testing::Test {
 protected:
  ConfigToOffer() {
    config_.devices = {{"serial0", 1}, {"disk0", 1, "as it was"}, {"disk1", 1, "as it was"}};
  }

  /// What the devices have, each in a line, or why that is not known.
  std::string offered(std::chrono::milliseconds timeout) {
    std::string said;
    asio::co_spawn(context_, config_to_offer(config_, {first_, second_}, timeout),
                   [&](const std::exception_ptr& failure, const vmm::MachineConfig& config) {
                     try {
                       if (failure) std::rethrow_exception(failure);
                       for (const auto& each : config.devices) said += each.host_part + "\n";
                     } catch (const std::exception& error) {
                       said = error.what();
                     }
                   });
    context_.restart();
    context_.run_for(20s);
    return said;
  }

  asio::io_context context_;
  vmm::MachineConfig config_;
  std::shared_ptr<HangingDevice> first_ = std::make_shared<HangingDevice>("disk0");
  std::shared_ptr<HangingDevice> second_ = std::make_shared<HangingDevice>("disk1");
};

TEST_F(ConfigToOffer, HasWhatTheDevicesHaveByNow) {
  EXPECT_EQ(offered(20s), "\ndisk0 by now\ndisk1 by now\n");
}

TEST_F(ConfigToOffer, FailsAsADeviceDoes) {
  second_->refuse("host_part");
  EXPECT_EQ(offered(20s), "disk1 is in use");
}

TEST_F(ConfigToOffer, IsGivenUpWhereADeviceHangsAndNamesIt) {
  second_->hang_at("host_part");
  EXPECT_EQ(offered(100ms),
            "the host has not said within 0.1 s what it has of disk1, and the VM cannot be offered "
            "without that: see what keeps the host's end of it");
  second_->let_go();
}

}  // namespace
}  // namespace migration::source
