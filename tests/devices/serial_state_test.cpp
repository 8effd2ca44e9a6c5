#include "devices/serial_state.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <stdexcept>
#include <string>

namespace devices {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

SerialState example() {
  SerialState state;
  state.registers = {.interrupt_enable = 0x05,
                     .fifo_control = 0x81,
                     .line_control = 0x13,
                     .modem_control = 0x0b,
                     .modem_changes = 0x02,
                     .scratch = 0xee,
                     .divisor_low = 0x01,
                     .divisor_high = 0x02,
                     .overrun = true,
                     .holding_empty = false};
  state.fifo = bytes({'f', 'g'});
  state.input = bytes({'i'});
  state.output = bytes({'o', 'p', 'q'});
  return state;
}

const std::vector<std::byte> kExample =
    bytes({0x05, 0x81, 0x13, 0x0b, 0x02, 0xee, 0x01, 0x02, 1,   0,   2,   0,   0,   0,
           1,    0,    0,    0,    3,    0,    0,    0,    'f', 'g', 'i', 'o', 'p', 'q'});

std::vector<std::byte> example_with(std::size_t at, int value) {
  auto changed = kExample;
  changed.at(at) = static_cast<std::byte>(value);
  return changed;
}

std::string refusal(std::uint32_t version, const std::vector<std::byte>& saved) {
  try {
    static_cast<void>(decode_serial_state(version, saved));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SerialState, HasTheDocumentedLayout) { EXPECT_EQ(encode(example()), kExample); }

TEST(SerialState, ReadsBackWhatWasWritten) {
  EXPECT_EQ(decode_serial_state(1, kExample), example());
}

TEST(SerialState, RefusesAnotherVersion) {
  EXPECT_EQ(refusal(2, kExample),
            "saved state of a serial port: version 2, and this Ferry reads 1");
}

TEST(SerialState, RefusesEveryTruncation) {
  for (std::size_t size = 0; size < kExample.size(); ++size) {
    EXPECT_EQ(refusal(1, {kExample.begin(), kExample.begin() + static_cast<std::ptrdiff_t>(size)}),
              "truncated saved state of a serial port")
        << size << " bytes";
  }
}

TEST(SerialState, RefusesStrayBytes) {
  auto longer = kExample;
  longer.push_back(std::byte{0});
  EXPECT_EQ(refusal(1, longer), "1 stray bytes after saved state of a serial port");
}

TEST(SerialState, RefusesBitsThatNoRegisterHas) {
  EXPECT_NE(refusal(1, example_with(0, 0x10)).find("interrupt enable is 0x10"), std::string::npos);
  EXPECT_NE(refusal(1, example_with(1, 0x08)).find("FIFO control"), std::string::npos);
  EXPECT_NE(refusal(1, example_with(3, 0x20)).find("modem control"), std::string::npos);
  EXPECT_NE(refusal(1, example_with(4, 0x10)).find("modem changes"), std::string::npos);
  EXPECT_NE(refusal(1, example_with(8, 2)).find("overrun"), std::string::npos);
}

TEST(SerialState, RefusesMoreThanAQueueHolds) {
  EXPECT_NE(refusal(1, example_with(10, 17)).find("receiver FIFO has 17"), std::string::npos);
  EXPECT_NE(refusal(1, example_with(15, 0x11)).find("input queue"), std::string::npos);
  EXPECT_NE(refusal(1, example_with(21, 0x80)).find("output queue"), std::string::npos);
}

TEST(SerialState, RefusesTwoReceivedBytesWithoutAFifo) {
  EXPECT_NE(refusal(1, example_with(1, 0)).find("receiver FIFO has 2 bytes, of at most 1"),
            std::string::npos);
}

TEST(SerialState, RefusesATriggerLevelWithoutAFifo) {
  EXPECT_NE(refusal(1, example_with(1, 0x80)), "accepted");
}

}  // namespace
}  // namespace devices
