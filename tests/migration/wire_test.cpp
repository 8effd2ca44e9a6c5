#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/messages.hpp"
#include "tests/migration/wire_bytes.hpp"

namespace migration::wire {
namespace {

using vmm::PageRange;
using Ranges = std::vector<PageRange>;

TEST(Wire, PreambleIsAsTheProtocolPageShowsIt) {
  const Bytes expected = from_hex("46 45 52 52 59 0d 0a 1a  02 00 00 00  02 00 00 00");
  EXPECT_EQ(encode_preamble(Role::pages), expected);
  const auto decoded = decode_preamble(std::span<const std::byte, kPreambleBytes>(expected));
  EXPECT_EQ(decoded.role, Role::pages);
  const Bytes faults = encode_preamble(Role::faults);
  EXPECT_EQ(decode_preamble(std::span<const std::byte, kPreambleBytes>(faults)).role, Role::faults);
}

TEST(Wire, PreambleOfAStrangerIsRefused) {
  const auto decode = [](std::string_view hex) {
    return [bytes = from_hex(hex)] {
      static_cast<void>(decode_preamble(std::span<const std::byte, kPreambleBytes>(bytes)));
    };
  };
  expect_error(decode("47455420 2f204854 54502f31 2e310d0a"), "not Ferry");
  expect_error(decode("46455252590d0a1a 63000000 01000000"), "version 99");
  expect_error(decode("46455252590d0a1a 02000000 00000000"), "unknown role");
  expect_error(decode("46455252590d0a1a 02000000 06000000"), "unknown role");
}

TEST(Wire, RawPageFrameIsAsTheProtocolPageShowsIt) {
  Bytes frame;
  const PageRange ranges[] = {{256, 2}, {1024, 1}};
  put_page_header(frame, FrameType::pages_raw, ranges, 3 * vmm::kPageSize);
  EXPECT_EQ(frame, from_hex("02 00 02 00  10 30 00 00  00 01 00 00 02 00 00 00  "
                            "00 04 00 00 01 00 00 00"));
  const FrameHeader header = header_of(frame);
  EXPECT_EQ(header.type, FrameType::pages_raw);
  EXPECT_EQ(header.ranges, 2);
  EXPECT_EQ(header.payload, 16 + 3 * vmm::kPageSize);
  const auto decoded = decode_ranges(std::span(frame).subspan(kHeaderBytes), 4096, kMaxRawPages);
  EXPECT_TRUE(std::ranges::equal(decoded, ranges));
}

TEST(Wire, ChannelFrameIsAsTheProtocolPageShowsIt) {
  Token token{};
  for (std::size_t i = 0; i < token.size(); ++i) token.at(i) = static_cast<std::byte>(i * 0x11);
  EXPECT_EQ(to_hex(token), "00112233445566778899aabbccddeeff");
  EXPECT_EQ(frame_of(FrameType::channel, encode_channel(token, 1)),
            from_hex("01 00 00 00  14 00 00 00  00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff  "
                     "01 00 00 00"));
}

TEST(Wire, ControlFramesAreAsTheProtocolPageShowsThem) {
  Accept with_two_features{"i1", ""};
  with_two_features.features = {};
  with_two_features.features.add(Feature::lz4);
  with_two_features.features.add(Feature::report);
  EXPECT_EQ(
      frame_of(FrameType::accept, encode(with_two_features)),
      from_hex(
          "12 00 00 00  7a 00 00 00  "
          "7b 22 66 65 61 74 75 72 65 73 22 3a 5b 22 6c 7a 34 22 2c 22 "
          "72 65 70 6f 72 74 22 5d 2c 22 69 6d 61 67 65 22 3a 7b 22 62 79 22 3a 22 22 2c 22 6b "
          "65 79 22 3a 22 22 2c 22 70 61 67 65 73 22 3a 30 7d 2c 22 69 "
          "6e 63 61 72 6e 61 74 69 6f 6e 22 3a 22 69 31 22 2c 22 6e 6f "
          "5f 70 6f 73 74 5f 63 6f 70 79 22 3a 22 22 2c 22 74 69 6d 65 "
          "6f 75 74 5f 6d 73 22 3a 31 30 30 30 30 7d"));
  EXPECT_EQ(frame_of(FrameType::landed, encode_round(3)),
            from_hex("14 00 00 00  04 00 00 00  03 00 00 00"));
  EXPECT_EQ(frame_of(FrameType::commit, encode_commit(std::chrono::microseconds(12'500))),
            from_hex("19 00 00 00  08 00 00 00  20 bc be 00 00 00 00 00"));
}

TEST(Wire, DeltaFramesAreAsTheProtocolPageShowsThem) {
  Bytes frame, body;
  put_delta(body, 0xa03de37a157c16bd, from_hex("1f 41 01 00"));
  put_page_header(frame, FrameType::pages_delta, std::vector<vmm::PageRange>{{5, 1}}, body.size());
  frame.insert(frame.end(), body.begin(), body.end());
  EXPECT_EQ(frame, from_hex("06 00 01 00  16 00 00 00  05 00 00 00 01 00 00 00 "
                            "bd 16 7c 15 7a e3 3d a0  04 00  1f 41 01 00"));
  const auto head = [](std::string_view hex) {
    const Bytes bytes = from_hex(hex);
    return decode_delta_head(std::span(bytes).first<kDeltaHeadBytes>());
  };
  EXPECT_EQ(head("bd 16 7c 15 7a e3 3d a0  04 00").digest, 0xa03de37a157c16bd);
  EXPECT_EQ(head("bd 16 7c 15 7a e3 3d a0  00 10").bytes, vmm::kPageSize);
  expect_error([&] { static_cast<void>(head("bd 16 7c 15 7a e3 3d a0  00 00")); }, "unsound");
  expect_error([&] { static_cast<void>(head("bd 16 7c 15 7a e3 3d a0  01 10")); }, "unsound");
  EXPECT_THROW(put_delta(body, 0, {}), std::length_error);
  EXPECT_THROW(put_delta(body, 0, Bytes(vmm::kPageSize + 1)), std::length_error);
}

TEST(Wire, ADuplicateNamesAPageOfRam) {
  Bytes body;
  put_same(body, 256, 0xa03de37a157c16bd);
  EXPECT_EQ(body, from_hex("00 01 00 00  bd 16 7c 15 7a e3 3d a0"));
  const auto same = std::span(body).first<kSameBytes>();
  EXPECT_EQ(decode_same(same, 257).as, 256U);
  EXPECT_EQ(decode_same(same, 257).digest, 0xa03de37a157c16bd);
  expect_error([&] { static_cast<void>(decode_same(same, 256)); }, "does not have");
}

TEST(Wire, CommitTellsHowLongAgoTheClocksWereSaved) {
  using std::chrono::nanoseconds;
  for (const nanoseconds time : {nanoseconds(0), nanoseconds(1), nanoseconds(kLongestStop)}) {
    EXPECT_EQ(decode_commit(encode_commit(time)), time);
  }
  // A clock that was set back, were there one, and years: neither keeps a VM from its destination.
  EXPECT_EQ(decode_commit(encode_commit(nanoseconds(-1))), nanoseconds(0));
  EXPECT_EQ(decode_commit(encode_commit(nanoseconds::max())), kLongestStop);
  EXPECT_EQ(decode_commit(from_hex("ff ff ff ff ff ff ff ff")), kLongestStop);
  expect_error([] { static_cast<void>(decode_commit({})); }, "commit frame");
  expect_error([] { static_cast<void>(decode_commit(from_hex("00 00 00 00"))); }, "commit frame");
  expect_error([] { static_cast<void>(decode_commit(from_hex("00 00 00 00 00 00 00 00 00"))); },
               "commit frame");
}

TEST(Wire, StateFrameIsAsTheProtocolPageShowsIt) {
  vmm::MachineState state;
  state.sections.push_back({"vcpu0/mp_state", 1, from_hex("00 00 00 00")});
  state.sections.push_back({"device/acpi-pm", 1, from_hex("20 01 01 00")});
  state.sections.push_back({"device/i8042", 1, {}});
  EXPECT_EQ(frame_of(FrameType::state, encode_state(state)),
            from_hex("15 00 00 00  52 00 00 00  03 00 00 00  "
                     "0e 00  76 63 70 75 30 2f 6d 70 5f 73 74 61 74 65  "
                     "01 00 00 00  04 00 00 00  00 00 00 00  "
                     "0e 00  64 65 76 69 63 65 2f 61 63 70 69 2d 70 6d  "
                     "01 00 00 00  04 00 00 00  20 01 01 00  "
                     "0c 00  64 65 76 69 63 65 2f 69 38 30 34 32  "
                     "01 00 00 00  00 00 00 00"));
}

TEST(Wire, DigestsFrameIsAsTheProtocolPageShowsIt) {
  const std::uint64_t digests[] = {0xa03de37a157c16bd};
  EXPECT_EQ(frame_of(FrameType::digests, encode_digests({5, 1}, digests)),
            from_hex("17 00 00 00  10 00 00 00  05 00 00 00 01 00 00 00  bd 16 7c 15 7a e3 3d a0"));
}

TEST(Wire, HeadersOutOfBoundsAreRefused) {
  expect_error([] { static_cast<void>(header_of("00 00 00 00 00 00 00 00")); }, "unknown type 0");
  expect_error([] { static_cast<void>(header_of("ff 00 00 00 00 00 00 00")); }, "unknown type");
  expect_error([] { static_cast<void>(header_of("02 01 01 00 00 00 00 00")); }, "unknown type");
  expect_error([] { static_cast<void>(header_of("02 00 01 00 ff ff ff ff")); }, "over its limit");
  expect_error([] { static_cast<void>(header_of("15 00 00 00 00 00 80 01")); }, "over its limit");
  expect_error([] { static_cast<void>(header_of("10 00 00 00 01 00 00 00")); }, "over its limit");
  // Page frames need ranges, as many as they name; others have none.
  expect_error([] { static_cast<void>(header_of("02 00 00 00 00 10 00 00")); }, "unsound");
  expect_error([] { static_cast<void>(header_of("02 00 02 00 08 00 00 00")); }, "unsound");
  expect_error([] { static_cast<void>(header_of("05 00 01 00 04 00 00 00")); }, "unsound");
  expect_error([] { static_cast<void>(header_of("04 00 ff ff 08 00 00 00")); }, "unsound");
}

TEST(Wire, EachMessageHasABoundOfItsOwn) {
  const auto header = [](FrameType type, std::size_t payload) {
    Bytes frame = frame_of(type, {});
    for (std::size_t i = 0; i < 4; ++i) {
      frame[4 + i] = static_cast<std::byte>(payload >> (8 * i));
    }
    return frame;
  };
  const auto expect_bound = [&](FrameType type, std::size_t bound) {
    EXPECT_EQ(header_of(header(type, bound)).payload, bound);
    expect_error([&] { static_cast<void>(header_of(header(type, bound + 1))); }, "over its limit");
  };
  expect_bound(FrameType::offer, std::size_t{256} << 10);
  for (const FrameType type : {FrameType::accept, FrameType::refused, FrameType::abort,
                               FrameType::ended, FrameType::report}) {
    expect_bound(type, std::size_t{64} << 10);
  }
  for (const FrameType type :
       {FrameType::prepared, FrameType::running, FrameType::inquire, FrameType::status}) {
    expect_bound(type, std::size_t{4} << 10);
  }
  expect_bound(FrameType::alive, 0);
  expect_bound(FrameType::commit, 8);
}

TEST(Wire, FramesGoOneWayOrBoth) {
  const auto goes = [](FrameType type, Side reader) {
    return error_of([&] { check_direction({type, 0, 0}, reader); }) == "no error";
  };
  for (const FrameType type : {FrameType::alive, FrameType::missing, FrameType::hashes}) {
    EXPECT_TRUE(goes(type, Side::source) && goes(type, Side::destination));
  }
  for (const FrameType type : {FrameType::offer, FrameType::state, FrameType::commit,
                               FrameType::copies, FrameType::dropped, FrameType::inquire}) {
    EXPECT_TRUE(!goes(type, Side::source) && goes(type, Side::destination));
  }
  for (const FrameType type : {FrameType::accept, FrameType::landed, FrameType::running,
                               FrameType::held, FrameType::changed, FrameType::status}) {
    EXPECT_TRUE(goes(type, Side::source) && !goes(type, Side::destination));
  }
  for (const FrameType type : {FrameType::pages_raw, FrameType::channel, FrameType::request}) {
    EXPECT_TRUE(!goes(type, Side::source) && !goes(type, Side::destination));
  }
}

TEST(Wire, WhatDoesNotFitIsNotSentCutOff) {
  const std::uint64_t pages = std::uint64_t{1} << 32;  // 16 TiB
  EXPECT_THROW(static_cast<void>(encode_all_missing({0, pages})), std::length_error);
  EXPECT_EQ(range_pieces({0, pages}), (Ranges{{0, pages / 2}, {pages / 2, pages / 2}}));
  EXPECT_EQ(range_pieces({0, 5}), (Ranges{{0, 5}}));
  std::uint64_t told = 0;
  for (const PageRange& piece : range_pieces({0, pages})) {
    told += decode_missing(encode_all_missing(piece), pages).range.count;
  }
  EXPECT_EQ(told, pages);
  const std::vector<std::uint64_t> digests(kMaxDigestPages + 1);
  EXPECT_THROW(static_cast<void>(encode_digests({0, digests.size()}, digests)), std::length_error);
  const vmm::PageSet bitmap(100);
  EXPECT_THROW(static_cast<void>(encode_missing({64, 64}, bitmap)), std::length_error);
}

TEST(Wire, RangesOutsideRamAreRefused) {
  const auto decode = [](std::string_view hex) {
    return [bytes = from_hex(hex)] { static_cast<void>(decode_ranges(bytes, 4096, 256)); };
  };
  expect_error(decode("00100000 01000000"), "RAM has 4096 pages");
  expect_error(decode("ff0f0000 02000000"), "RAM has 4096 pages");
  expect_error(decode("ffffffff ffffffff"), "RAM has 4096 pages");
  expect_error(decode("00000000 00000000"), "RAM has 4096 pages");
  expect_error(decode("00000000 01010000"), "over the limit");
  expect_error(decode("00000000 01000000 00"), "stray");
}

TEST(Wire, MachineStateSurvivesTheTrip) {
  vmm::MachineState state;
  state.sections.push_back({"vcpu0/regs", 1, from_hex("010203")});
  state.sections.push_back({"device/serial0", 7, {}});
  EXPECT_EQ(decode_state(encode_state(state)).sections, state.sections);
}

TEST(Wire, MachineStateCutAnywhereIsRefused) {
  vmm::MachineState state;
  state.sections.push_back({"vcpu0/regs", 1, from_hex("010203")});
  const Bytes whole = encode_state(state);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    expect_error([&] { static_cast<void>(decode_state(std::span(whole).first(size))); },
                 "truncated");
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  expect_error([&] { static_cast<void>(decode_state(longer)); }, "stray");
  expect_error([] { static_cast<void>(decode_state(from_hex("ffffffff"))); }, "sections");
}

TEST(Wire, DigestsSurviveTheTripAndAreBounded) {
  const std::uint64_t digests[] = {1, ~std::uint64_t{0}};
  const Digests decoded = decode_digests(encode_digests({5, 2}, digests), 100);
  EXPECT_EQ(decoded.range, (PageRange{5, 2}));
  EXPECT_TRUE(std::ranges::equal(decoded.digests, digests));
  expect_error(
      [&] {
        static_cast<void>(decode_digests(encode_digests({99, 2}, digests), 100));
      },
      "RAM has 100 pages");
  expect_error([] { static_cast<void>(decode_digests(from_hex("00000000 02000000 00"), 100)); },
               "truncated");
}

TEST(Wire, ChannelAndRoundSurviveTheTrip) {
  const Token token = random_token();
  const Channel channel = decode_channel(encode_channel(token, 3));
  EXPECT_EQ(channel.token, token);
  EXPECT_EQ(channel.index, 3U);
  EXPECT_EQ(decode_round(encode_round(77)), 77U);
}

}  // namespace
}  // namespace migration::wire
