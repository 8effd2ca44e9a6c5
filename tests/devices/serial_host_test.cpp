#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

#include "tests/devices/serial_fixture.hpp"

namespace devices {
namespace {

constexpr std::size_t kOutput = SerialState::kOutputBytes;
constexpr std::size_t kInput = SerialState::kInputBytes;

TEST(SerialHost, HoldsUpTheGuestWhileTheHostDoesNotDrain) {
  SerialUnderTest port;
  port.out(kIer, kIerHoldingEmpty);
  std::size_t sent = 0;
  while ((port.in(kLsr)&kLsrHoldingEmpty) != 0) {
    port.in(kIirFcr);
    port.print("0123456789abcdef");  // as drivers do: a FIFO's worth at once
    sent += 16;
  }
  EXPECT_EQ(sent, kOutput);
  EXPECT_EQ(port.in(kLsr) & (kLsrHoldingEmpty | kLsrTransmitterEmpty), 0);
  EXPECT_FALSE(port.irq());

  EXPECT_EQ(port.drain(15).size(), 15U);
  EXPECT_FALSE(port.irq());
  EXPECT_EQ(port.drain(1), "f");
  EXPECT_TRUE(port.irq());
  EXPECT_EQ(port.in(kIirFcr), kIirHoldingEmpty);
  EXPECT_EQ(port.in(kLsr), 0x60);
}

TEST(SerialHost, DropsWhatAGuestSendsWithoutWaiting) {
  SerialUnderTest port;
  port.print(std::string(kOutput, 'a'));
  port.print("lost");
  const std::string all = port.drain();
  EXPECT_EQ(all, std::string(kOutput, 'a'));
}

TEST(SerialHost, TakesInputUpToItsBound) {
  SerialUnderTest port;
  EXPECT_EQ(port.type(std::string(kInput + 10, 'i')), kInput);
  EXPECT_EQ(port.type("more"), 0U);
  EXPECT_EQ(port.read_all(), std::string(kInput, 'i'));
}

TEST(SerialHost, TellsOnceThatThereIsRoomAgain) {
  SerialUnderTest port;
  int told = 0;
  port.serial.on_input_room([&] { ++told; });
  port.type(std::string(kInput, 'i'));
  EXPECT_EQ(port.read_all().size(), kInput);
  EXPECT_EQ(told, 0);  // nobody found it full
  port.type(std::string(kInput + 1, 'i'));
  port.in(kDataRegister);
  EXPECT_EQ(told, 1);
  port.read_all();
  EXPECT_EQ(told, 1);
}

TEST(SerialHost, TellsWhenOutputComesIntoAnEmptyQueue) {
  SerialUnderTest port;
  int told = 0;
  port.serial.on_output([&] { ++told; });
  port.print("ab");
  EXPECT_EQ(told, 1);
  EXPECT_EQ(port.drain(1), "a");
  port.print("c");
  EXPECT_EQ(told, 1);
  EXPECT_EQ(port.drain(), "bc");
  port.print("d");
  EXPECT_EQ(told, 2);
}

TEST(SerialHost, KeepsWhatASinkThatFailsDidNotTake) {
  SerialUnderTest port;
  port.print("kept");
  EXPECT_THROW(port.serial.drain([](std::span<const std::byte>) -> std::size_t {
    throw std::runtime_error("the reader is gone");
  }),
               std::runtime_error);
  EXPECT_EQ(port.drain(), "kept");
}

TEST(SerialHost, LetsAVcpuSendWhileTheSinkWorks) {
  SerialUnderTest port;
  port.print("first ");
  std::string seen;
  port.serial.drain([&](std::span<const std::byte> bytes) {
    if (seen.empty()) std::thread([&] { port.print("second"); }).join();
    seen.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return bytes.size();
  });
  EXPECT_EQ(seen, "first second");
}

// For ThreadSanitizer too: a guest that echoes, a host that types and one that prints.
TEST(SerialHost, LosesNothingBetweenThreads) {
  SerialUnderTest port;
  constexpr std::size_t kBytes = 200'000;
  std::thread vcpu([&] {
    for (std::size_t echoed = 0; echoed < kBytes;) {
      const auto status = port.in(kLsr);
      if ((status & kLsrDataReady) == 0 || (status & kLsrHoldingEmpty) == 0) {
        std::this_thread::yield();
        continue;
      }
      port.out(kDataRegister, port.in(kDataRegister));
      ++echoed;
    }
  });
  std::thread keyboard([&] {
    std::string text(kBytes, '\0');
    for (std::size_t i = 0; i < kBytes; ++i) text[i] = static_cast<char>('a' + i % 26);
    for (std::size_t typed = 0; typed < kBytes;) {
      typed += port.type(std::string_view(text).substr(typed, 1000));
      std::this_thread::yield();
    }
  });
  std::string printed;
  while (printed.size() < kBytes) {
    printed += port.drain(3000);
    std::this_thread::yield();
  }
  vcpu.join();
  keyboard.join();
  ASSERT_EQ(printed.size(), kBytes);
  for (std::size_t i = 0; i < kBytes; ++i) ASSERT_EQ(printed[i], static_cast<char>('a' + i % 26));
}

}  // namespace
}  // namespace devices
