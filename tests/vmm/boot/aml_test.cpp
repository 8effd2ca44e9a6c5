#include "vmm/boot/aml.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace vmm::aml {
namespace {

using namespace std::string_view_literals;

TEST(Aml, EncodesIntegersInAsFewBytesAsTheyNeed) {
  EXPECT_EQ(integer(0), "\x00"sv);
  EXPECT_EQ(integer(1), "\x01"sv);
  EXPECT_EQ(integer(2), "\x0a\x02"sv);
  EXPECT_EQ(integer(0x100), "\x0b\x00\x01"sv);
  EXPECT_EQ(integer(0x10000), "\x0c\x00\x00\x01\x00"sv);
  EXPECT_EQ(integer(0x100000000), "\x0e\x00\x00\x00\x00\x01\x00\x00\x00"sv);
}

TEST(Aml, CompressesEisaIdsAndKeepsOthersAsText) {
  EXPECT_EQ(hardware_id("PNP0501"), "\x0c\x41\xd0\x05\x01"sv);
  EXPECT_EQ(hardware_id("QEMU0001"), "\x0dQEMU0001\0"sv);
}

TEST(Aml, EncodesNamesPackagesAndDevices) {
  EXPECT_EQ(name("_S5_", package({integer(5), integer(0)})), "\x08_S5_\x12\x05\x02\x0a\x05\x00"sv);
  EXPECT_EQ(device("COM1", integer(1)),
            "\x5b\x82\x06"
            "COM1\x01"sv);
  EXPECT_EQ(scope("_SB_", integer(1)), "\x10\x06_SB_\x01"sv);
}

TEST(Aml, EncodesLengthsOfOneTwoAndThreeBytes) {
  const auto prefix = [](std::size_t body) {
    return scope("", std::string(body, 'x')).substr(0, 5);
  };
  EXPECT_EQ(prefix(62), "\x10\x3fxxx"sv);           // 63
  EXPECT_EQ(prefix(63), "\x10\x41\x04xx"sv);        // 65
  EXPECT_EQ(prefix(0xffd), "\x10\x4f\xffxx"sv);     // 0xfff
  EXPECT_EQ(prefix(0xffe), "\x10\x81\x00\x01x"sv);  // 0x1001
}

TEST(Aml, EncodesResources) {
  EXPECT_EQ(resources(io_ports(0x3f8, 8)),
            "\x11\x0d\x0a\x0a\x47\x01\xf8\x03\xf8\x03\x01\x08\x79\x00"sv);
  EXPECT_EQ(edge_interrupt(4), "\x89\x06\x00\x03\x01\x04\x00\x00\x00"sv);
  EXPECT_EQ(bus_numbers(0, 0),
            "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00"sv);
  EXPECT_EQ(memory_window(0xd0000000, 0x10000000),
            "\x87\x17\x00\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\xd0\xff\xff\xff\xdf"
            "\x00\x00\x00\x00\x00\x00\x00\x10"sv);
}

}  // namespace
}  // namespace vmm::aml
