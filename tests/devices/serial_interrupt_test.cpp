#include <gtest/gtest.h>

#include "tests/devices/serial_fixture.hpp"

namespace devices {
namespace {

TEST(SerialInterrupt, StaysLowWhileNothingIsEnabled) {
  SerialUnderTest port;
  port.type("x");
  port.print("y");
  port.in(kLsr);
  EXPECT_TRUE(port.host.levels.empty());
  EXPECT_EQ(port.in(kIirFcr), kIirNone);
}

TEST(SerialInterrupt, TellsThatTheTransmitterIsEmptyWhenEnabled) {
  SerialUnderTest port;
  port.out(kIer, kIerHoldingEmpty);
  EXPECT_TRUE(port.irq());
  EXPECT_EQ(port.in(kIirFcr), kIirHoldingEmpty);
  EXPECT_FALSE(port.irq());
  EXPECT_EQ(port.in(kIirFcr), kIirNone);
}

// Linux's serial8250_THRE_test: enabling it a second time raises it again.
TEST(SerialInterrupt, TellsAgainWhenEnabledAgain) {
  SerialUnderTest port;
  for (int i = 0; i < 2; ++i) {
    port.out(kIer, kIerHoldingEmpty);
    EXPECT_EQ(port.in(kIirFcr), kIirHoldingEmpty);
    port.out(kIer, 0);
    EXPECT_FALSE(port.irq());
  }
}

TEST(SerialInterrupt, TellsThatTheTransmitterIsEmptyAfterEachByte) {
  SerialUnderTest port;
  port.out(kIer, kIerHoldingEmpty);
  port.in(kIirFcr);
  port.print("a");
  EXPECT_TRUE(port.irq());
  EXPECT_EQ(port.in(kIirFcr), kIirHoldingEmpty);
  EXPECT_EQ(port.host.levels, (std::vector{true, false, true, false}));
}

TEST(SerialInterrupt, StaysHighUntilTheLastByteIsRead) {
  SerialUnderTest port;
  port.out(kIer, kIerReceived);
  port.type("ab");
  EXPECT_TRUE(port.irq());
  EXPECT_EQ(port.in(kIirFcr), kIirReceived);
  EXPECT_EQ(port.in(kDataRegister), 'a');
  EXPECT_TRUE(port.irq());
  EXPECT_EQ(port.in(kDataRegister), 'b');
  EXPECT_FALSE(port.irq());
  EXPECT_EQ(port.host.levels, (std::vector{true, false}));
}

TEST(SerialInterrupt, DistinguishesTriggerLevelFromTimeout) {
  SerialUnderTest port;
  port.out(kIirFcr, 0x81);  // trigger at eight bytes
  port.out(kIer, kIerReceived);
  port.type("1234567");
  EXPECT_EQ(port.in(kIirFcr), kIirFifos | kIirTimeout);
  port.type("8");
  EXPECT_EQ(port.in(kIirFcr), kIirFifos | kIirReceived);
  port.in(kDataRegister);
  EXPECT_EQ(port.in(kIirFcr), kIirFifos | kIirTimeout);
  EXPECT_EQ(port.read_all(), "2345678");
  EXPECT_EQ(port.in(kIirFcr), kIirFifos | kIirNone);
}

TEST(SerialInterrupt, TellsTheMostUrgentCauseFirst) {
  SerialUnderTest port;
  port.out(kMcr, kMcrLoop);
  port.print("ab");  // overruns, and has changed the modem lines
  port.out(kIer, kIerMask);
  EXPECT_EQ(port.in(kIirFcr), kIirLineStatus);
  port.in(kLsr);
  EXPECT_EQ(port.in(kIirFcr), kIirReceived);
  port.in(kDataRegister);
  EXPECT_EQ(port.in(kIirFcr), kIirHoldingEmpty);
  EXPECT_EQ(port.in(kIirFcr), kIirModemStatus);
  EXPECT_TRUE(port.irq());
  port.in(kMsr);
  EXPECT_FALSE(port.irq());
  EXPECT_EQ(port.in(kIirFcr), kIirNone);
}

TEST(SerialInterrupt, LeavesTheEmptyTransmitterPendingBehindAMoreUrgentCause) {
  SerialUnderTest port;
  port.out(kIer, kIerReceived | kIerHoldingEmpty);
  port.type("x");
  EXPECT_EQ(port.in(kIirFcr), kIirReceived);
  EXPECT_EQ(port.in(kDataRegister), 'x');
  EXPECT_EQ(port.in(kIirFcr), kIirHoldingEmpty);
}

}  // namespace
}  // namespace devices
