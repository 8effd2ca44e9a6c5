#include <gtest/gtest.h>

#include <array>

#include "tests/devices/serial_fixture.hpp"

namespace devices {
namespace {

TEST(SerialRegister, ShowsAnIdleTransmitterAfterReset) {
  SerialUnderTest port;
  EXPECT_EQ(port.in(kLsr), 0x60);
  EXPECT_EQ(port.in(kIirFcr), 0x01);
  EXPECT_EQ(port.in(kMsr), 0xb0);
  EXPECT_EQ(port.in(kIer), 0x00);
}

TEST(SerialRegister, KeepsTheDivisorBehindDlab) {
  SerialUnderTest port;
  port.out(kIer, 0x05);
  port.out(kLcr, 0x80);
  port.out(kDataRegister, 0x34);
  port.out(kIer, 0x12);
  EXPECT_EQ(port.in(kDataRegister), 0x34);
  EXPECT_EQ(port.in(kIer), 0x12);
  port.out(kLcr, 0x03);
  EXPECT_EQ(port.in(kIer), 0x05);
  EXPECT_EQ(port.in(kDataRegister), 0x00);
  EXPECT_EQ(port.drain(), "");
}

// What Linux's 8250 driver does in autoconfig() to find a 16550A.
TEST(SerialRegister, IsRecognizedAsA16550A) {
  SerialUnderTest port;
  port.out(kIer, 0xff);
  EXPECT_EQ(port.in(kIer), 0x0f);
  port.out(kIer, 0);
  port.out(kMcr, kMcrLoop | kMcrOut2 | kMcrRts);
  EXPECT_EQ(port.in(kMsr)&0xf0, kMsrDcd | kMsrCts);
  port.out(kMcr, 0);
  port.out(kIirFcr, 0x01);
  EXPECT_EQ(port.in(kIirFcr) >> 6, 3);
  port.out(kIirFcr, 0x21);  // a 16750 would show its 64-byte FIFO in bit 5
  EXPECT_EQ(port.in(kIirFcr) >> 5, 6);
  port.out(kIirFcr, 0);
  EXPECT_EQ(port.in(kIirFcr) >> 6, 0);
}

TEST(SerialRegister, KeepsScratchAndMasksModemControl) {
  SerialUnderTest port;
  port.out(kScr, 0xa5);
  port.out(kMcr, 0xff);
  EXPECT_EQ(port.in(kScr), 0xa5);
  EXPECT_EQ(port.in(kMcr), 0x1f);
}

TEST(SerialRegister, IgnoresWritesToItsStatus) {
  SerialUnderTest port;
  port.out(kLsr, 0x00);
  port.out(kMsr, 0x00);
  EXPECT_EQ(port.in(kLsr), 0x60);
  EXPECT_EQ(port.in(kMsr), 0xb0);
}

TEST(SerialRegister, SendsAndReceivesInOrder) {
  SerialUnderTest port;
  port.print("hello");
  EXPECT_EQ(port.drain(), "hello");
  EXPECT_EQ(port.type("world"), 5U);
  EXPECT_EQ(port.in(kLsr), 0x61);
  EXPECT_EQ(port.read_all(), "world");
  EXPECT_EQ(port.in(kLsr), 0x60);
}

TEST(SerialRegister, LosesNoInputToADriverThatResetsTheFifoFirst) {
  SerialUnderTest port;
  port.type("early");
  port.out(kIirFcr, 0x07);
  EXPECT_EQ(port.read_all(), "early");
}

TEST(SerialRegister, DropsWhatWasReceivedWhenTheFifoIsReset) {
  SerialUnderTest port;
  port.out(kIirFcr, 0x01);
  port.type("0123456789abcdefXYZ");
  EXPECT_EQ(port.in(kDataRegister), '0');  // and so sixteen bytes have arrived
  port.out(kIirFcr, 0x03);
  EXPECT_EQ(port.read_all(), "XYZ");
}

TEST(SerialRegister, LoopsBackWithoutTheHost) {
  SerialUnderTest port;
  port.out(kIirFcr, 0x01);
  port.out(kMcr, kMcrLoop);
  port.type("held");
  port.print("loop");
  EXPECT_EQ(port.read_all(), "loop");
  EXPECT_EQ(port.drain(), "");
  port.out(kMcr, 0);
  EXPECT_EQ(port.read_all(), "held");
}

TEST(SerialRegister, KeepsAFullFifoWhenItOverruns) {
  SerialUnderTest port;
  port.out(kIirFcr, 0x01);
  port.out(kMcr, kMcrLoop);
  port.print("0123456789abcdefX");
  EXPECT_EQ(port.in(kLsr)&kLsrOverrun, kLsrOverrun);
  EXPECT_EQ(port.in(kLsr)&kLsrOverrun, 0);
  EXPECT_EQ(port.read_all(), "0123456789abcdef");
}

TEST(SerialRegister, ReplacesTheByteWhenItOverrunsWithoutAFifo) {
  SerialUnderTest port;
  port.out(kMcr, kMcrLoop);
  port.print("ab");
  EXPECT_EQ(port.in(kLsr)&kLsrOverrun, kLsrOverrun);
  EXPECT_EQ(port.read_all(), "b");
}

TEST(SerialRegister, NotesChangesOfTheModemLines) {
  SerialUnderTest port;
  port.out(kMcr, kMcrLoop | kMcrOut1 | kMcrRts);
  EXPECT_EQ(port.in(kMsr), kMsrRi | kMsrCts | 0x0a);  // DSR and DCD have gone
  EXPECT_EQ(port.in(kMsr), kMsrRi | kMsrCts);
  port.out(kMcr, kMcrLoop | kMcrRts);
  EXPECT_EQ(port.in(kMsr), kMsrCts | kMsrRiEnded);
}

TEST(SerialRegister, SplitsWideAccessesIntoBytes) {
  SerialUnderTest port;
  const std::array both = {std::byte{'w'}, std::byte{0x0f}};
  port.serial.write(kDataRegister, both);
  EXPECT_EQ(port.drain(), "w");
  EXPECT_EQ(port.in(kIer), 0x0f);
  std::array<std::byte, 4> four{};
  port.serial.read(kMcr, four);
  EXPECT_EQ(four[1], std::byte{0x60});
  EXPECT_EQ(four[2], std::byte{0xb0});
}

}  // namespace
}  // namespace devices
