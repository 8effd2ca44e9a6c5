#include "vmm/machine/bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

namespace vmm {
namespace {

/// Answers with its own number, and notes what it was asked.
class Probe final : public Device {
 public:
  explicit Probe(std::byte value) : value_(value) {}
  [[nodiscard]] std::string_view id() const override { return "probe"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t offset, std::span<std::byte> data) override {
    last_offset = offset;
    std::ranges::fill(data, value_);
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    last_offset = offset;
    written += data.size();
  }
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t, std::span<const std::byte>) override {}

  std::uint64_t last_offset = 99;
  std::size_t written = 0;

 private:
  std::byte value_;
};

std::byte read_one(const Bus& bus, std::uint64_t address) {
  std::array<std::byte, 1> data{};
  bus.read(address, data);
  return data[0];
}

TEST(Bus, FindsTheDeviceAndItsOffset) {
  Bus bus;
  const auto low = std::make_shared<Probe>(std::byte{1});
  const auto high = std::make_shared<Probe>(std::byte{2});
  bus.attach(high, 0x3f8, 8);
  bus.attach(low, 0x60, 1);
  EXPECT_EQ(read_one(bus, 0x60), std::byte{1});
  EXPECT_EQ(low->last_offset, 0U);
  EXPECT_EQ(read_one(bus, 0x3ff), std::byte{2});
  EXPECT_EQ(high->last_offset, 7U);
  bus.write(0x3fa, std::array{std::byte{5}, std::byte{6}});
  EXPECT_EQ(high->last_offset, 2U);
  EXPECT_EQ(high->written, 2U);
}

TEST(Bus, ReadsOnesAndDropsWritesWhereNobodyAnswers) {
  Bus bus;
  EXPECT_EQ(read_one(bus, 0x60), std::byte{0xff});
  bus.attach(std::make_shared<Probe>(std::byte{1}), 0x60, 1);
  EXPECT_EQ(read_one(bus, 0x5f), std::byte{0xff});
  EXPECT_EQ(read_one(bus, 0x61), std::byte{0xff});
  bus.write(0x61, std::array{std::byte{5}});
}

TEST(Bus, GivesNoDeviceAnAccessThatReachesBeyondIt) {
  Bus bus;
  const auto probe = std::make_shared<Probe>(std::byte{1});
  bus.attach(probe, 0x60, 2);
  std::array<std::byte, 4> data{};
  bus.read(0x61, data);
  EXPECT_EQ(data[0], std::byte{0xff});
  bus.write(0x61, data);
  EXPECT_EQ(probe->written, 0U);
}

TEST(Bus, RefusesRangesThatAreTakenOrEmpty) {
  Bus bus;
  const auto attach = [&](std::uint64_t base, std::uint64_t length) {
    bus.attach(std::make_shared<Probe>(std::byte{1}), base, length);
  };
  attach(0x100, 0x10);
  EXPECT_THROW(attach(0x100, 0x10), std::invalid_argument);
  EXPECT_THROW(attach(0x10f, 1), std::invalid_argument);
  EXPECT_THROW(attach(0xf0, 0x11), std::invalid_argument);
  EXPECT_THROW(attach(0x90, 0x100), std::invalid_argument);
  EXPECT_THROW(attach(0x200, 0), std::invalid_argument);
  EXPECT_NO_THROW(attach(0xf0, 0x10));
  EXPECT_NO_THROW(attach(0x110, 1));
}

}  // namespace
}  // namespace vmm
