#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <stdexcept>

#include "tests/devices/serial_fixture.hpp"

namespace devices {
namespace {

void load(SerialUnderTest& port, const std::vector<std::byte>& saved) {
  port.serial.load(SerialState::kVersion, saved);
}

TEST(SerialMigration, CarriesEveryByteInFlight) {
  SerialUnderTest source;
  source.out(kIirFcr, 0x01);
  source.type("input that is longer than the FIFO");
  EXPECT_EQ(source.in(kDataRegister), 'i');
  source.print("printed, not printed");
  EXPECT_EQ(source.drain(9), "printed, ");
  const auto saved = source.serial.save();

  SerialUnderTest destination;
  load(destination, saved);
  destination.serial.resumed();
  EXPECT_EQ(destination.drain(), "not printed");
  EXPECT_EQ(destination.read_all(), "nput that is longer than the FIFO");
}

TEST(SerialMigration, SavesAgainWhatWasLoaded) {
  SerialUnderTest source;
  source.out(kLcr, 0x80);
  source.out(kDataRegister, 0x01);
  source.out(kLcr, 0x03);
  source.out(kIirFcr, 0xc1);
  source.out(kIer, kIerMask);
  source.out(kMcr, 0x0b);
  source.out(kScr, 0x77);
  source.type("abc");
  source.print("xyz");
  const auto saved = source.serial.save();
  SerialUnderTest destination;
  load(destination, saved);
  EXPECT_EQ(destination.type("refused"), 0U);
  EXPECT_EQ(destination.serial.save(), saved);
  EXPECT_TRUE(destination.host.levels.empty());  // the machine's other parts are not to notice
}

TEST(SerialMigration, TakesAndGivesNothingBetweenSaveAndResume) {
  SerialUnderTest port;
  int output = 0;
  int room = 0;
  port.serial.on_output([&] { ++output; });
  port.serial.on_input_room([&] { ++room; });
  port.print("held");
  const auto saved = port.serial.save();
  EXPECT_EQ(port.drain(), "");
  EXPECT_EQ(port.type("later"), 0U);
  EXPECT_EQ(port.serial.save(), saved);

  port.serial.resumed();
  EXPECT_EQ(output, 2);
  EXPECT_EQ(room, 1);
  EXPECT_EQ(port.drain(), "held");
  EXPECT_EQ(port.type("later"), 5U);
}

TEST(SerialMigration, PrintsNothingAtTheDestinationBeforeItRuns) {
  SerialUnderTest source;
  source.print("once");
  const auto saved = source.serial.save();
  SerialUnderTest destination;
  int told = 0;
  destination.serial.on_output([&] { ++told; });
  load(destination, saved);
  EXPECT_EQ(told, 0);
  EXPECT_EQ(destination.drain(), "");
  destination.serial.resumed();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(destination.drain(), "once");
}

// The interrupt controllers are saved before the device: input that comes in between must not go
// unnoticed.
TEST(SerialMigration, RaisesAPendingInterruptWhenResumed) {
  SerialUnderTest source;
  source.out(kIer, kIerReceived);
  source.type("x");
  const auto saved = source.serial.save();
  SerialUnderTest destination;
  load(destination, saved);
  destination.serial.resumed();
  EXPECT_EQ(destination.host.levels, std::vector{true});
  EXPECT_EQ(destination.in(kIirFcr), kIirReceived);
}

TEST(SerialMigration, WaitsForTheSinkThatIsWriting) {
  SerialUnderTest port;
  port.print("ab");
  std::promise<void> writing;
  std::promise<void> may_end;
  auto printer = std::async(std::launch::async, [&] {
    return port.serial.drain([&](std::span<const std::byte>) -> std::size_t {
      writing.set_value();
      may_end.get_future().wait();
      return 1;
    });
  });
  writing.get_future().wait();
  auto saver = std::async(std::launch::async, [&] { return port.serial.save(); });
  EXPECT_EQ(saver.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  may_end.set_value();
  EXPECT_EQ(printer.get(), 1U);
  EXPECT_EQ(decode_serial_state(1, saver.get()).output, std::vector{std::byte{'b'}});
}

// The output of a guest that an operator has paused, or that has ended, is still to be seen.
TEST(SerialMigration, PausesWithoutWaitingForAReaderAndHoldsNoOutputBack) {
  SerialUnderTest port;
  port.print("ab");
  port.serial.drain([&](std::span<const std::byte>) -> std::size_t {
    port.serial.request_pause();  // while a reader has yet to take something
    EXPECT_TRUE(port.serial.wait_paused(std::nullopt));
    return 1;
  });
  EXPECT_EQ(port.drain(), "b");
  EXPECT_EQ(port.type("c"), 1U);
}

TEST(SerialMigration, LeavesThePortAloneWhenTheStateIsUnsound) {
  SerialUnderTest port;
  port.print("kept");
  EXPECT_THROW(load(port, {}), std::invalid_argument);
  EXPECT_EQ(port.drain(), "kept");
}

}  // namespace
}  // namespace devices
