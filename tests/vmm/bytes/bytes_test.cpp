#include <gtest/gtest.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace vmm {
namespace {

using Bytes = std::vector<std::byte>;
using ExampleReader = ByteReader<std::invalid_argument>;

Bytes example_bytes(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

/// What `read` throws.
template <typename Read>
std::string reason_against(Read read) {
  try {
    read();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ByteWriter, AppendsTheLowestByteFirst) {
  Bytes bytes{std::byte{9}};
  ByteWriter writer(bytes);
  writer.u8(0xfe);
  writer.u16(0x0102);
  writer.u32(0xfff0e0d0);
  writer.u64(0x0102030405060708);
  writer.text("ab");
  writer.bytes(example_bytes({0, 1}));
  EXPECT_EQ(bytes, example_bytes({9, 0xfe, 2, 1, 0xd0, 0xe0, 0xf0, 0xff, 8, 7,
                                  6, 5,    4, 3, 2,    1,    'a',  'b',  0, 1}));
}

TEST(ByteReader, ReadsWhatWasWritten) {
  Bytes bytes;
  ByteWriter writer(bytes);
  writer.u8(0xfe);
  writer.u16(0xfffe);
  writer.u32(0xfffefdfc);
  writer.u64(0xfffefdfcfbfaf9f8);
  writer.text("abc");
  writer.bytes(example_bytes({1, 2, 3}));
  ExampleReader reader(bytes, "example");
  EXPECT_EQ(reader.u8(), 0xfe);
  EXPECT_EQ(reader.u16(), 0xfffe);
  EXPECT_EQ(reader.u32(), 0xfffefdfc);
  EXPECT_EQ(reader.u64(), 0xfffefdfcfbfaf9f8);
  EXPECT_EQ(reader.text(3), "abc");
  EXPECT_EQ(reader.left(), 3U);
  std::array<std::byte, 2> two{};
  reader.fill(two);
  EXPECT_EQ(two[1], std::byte{2});
  EXPECT_EQ(reader.bytes(1).data(), &bytes.back());
  EXPECT_EQ(reader.bytes(0).size(), 0U);
  reader.finish();
}

TEST(ByteReader, TakesNothingFromBytesThatAreTooFew) {
  const Bytes bytes(7);
  ExampleReader reader(bytes, "example");
  EXPECT_EQ(reason_against([&] { reader.u64(); }), "truncated example");
  EXPECT_EQ(reason_against([&] { static_cast<void>(reader.bytes(SIZE_MAX)); }),
            "truncated example");
  EXPECT_EQ(reason_against([&] { static_cast<void>(reader.text(8)); }), "truncated example");
  EXPECT_EQ(reader.left(), 7U);
  reader.u32();
  EXPECT_EQ(reason_against([&] { reader.u32(); }), "truncated example");
  EXPECT_EQ(reason_against([&] { reader.finish(); }), "3 stray bytes after example");
}

}  // namespace
}  // namespace vmm
