#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/messages.hpp"
#include "tests/migration/wire_bytes.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace migration::wire {
namespace {

using vmm::PageRange;
using Ranges = std::vector<PageRange>;

constexpr std::uint64_t kRamPages = 4096;

/// Whatever is cut off a sound payload, and a byte too many, is refused.
void expect_no_other_length(const Bytes& whole, const std::function<void(const Bytes&)>& decode) {
  decode(whole);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(decode(cut), ProtocolError) << "cut to " << size << " bytes";
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_THROW(decode(longer), ProtocolError);
}

Missing missing_of(const Bytes& payload) { return decode_missing(payload, kRamPages); }

TEST(WireMissing, FramesAreAsTheProtocolPageShowsThem) {
  EXPECT_EQ(frame_of(FrameType::missing, encode_all_missing({0, 4096})),
            from_hex("1c 00 00 00  08 00 00 00  00 00 00 00 00 10 00 00"));
  vmm::PageSet pages(kRamPages);
  pages.set(PageRange{64, 2});
  pages.set(PageRange{133, 1});
  EXPECT_EQ(frame_of(FrameType::missing, encode_missing({64, 70}, pages)),
            from_hex("1c 00 00 00  18 00 00 00  40 00 00 00 46 00 00 00  "
                     "03 00 00 00 00 00 00 00  20 00 00 00 00 00 00 00"));
}

TEST(WireMissing, TheShortFormNamesTheWholeRange) {
  const Missing all = missing_of(encode_all_missing({5, 100}));
  EXPECT_EQ(all.range, (PageRange{5, 100}));
  EXPECT_EQ(all.pages, (Ranges{{5, 100}}));
  // More than a bitmap may tell of: it says nothing of single pages.
  const std::uint64_t huge = 4 * kMaxMissingPages;
  EXPECT_EQ(decode_missing(encode_all_missing({0, huge}), huge).pages, (Ranges{{0, huge}}));
}

TEST(WireMissing, TheBitmapSurvivesTheTripAsMaximalRuns) {
  vmm::PageSet pages(kRamPages);
  pages.set(PageRange{60, 10});  // over the edge of a word
  pages.set(PageRange{127, 1});
  pages.set(PageRange{128, 64});
  pages.set(PageRange{4000, 96});
  const Missing some = missing_of(encode_missing({0, kRamPages}, pages));
  EXPECT_EQ(some.range, (PageRange{0, kRamPages}));
  EXPECT_EQ(some.pages, (Ranges{{60, 10}, {127, 65}, {4000, 96}}));
}

TEST(WireMissing, TheBitmapHasNoPagesFromOutsideItsRange) {
  vmm::PageSet pages(kRamPages);
  pages.set(PageRange{0, kRamPages});
  EXPECT_EQ(missing_of(encode_missing({64, 70}, pages)).pages, (Ranges{{64, 70}}));
  EXPECT_EQ(missing_of(encode_missing({64, 1}, pages)).pages, (Ranges{{64, 1}}));
}

TEST(WireMissing, NoPageMayBeMissing) {
  const vmm::PageSet none(kRamPages);
  const Missing missing = missing_of(encode_missing({0, kRamPages}, none));
  EXPECT_EQ(missing.range.count, kRamPages);
  EXPECT_TRUE(missing.pages.empty());
}

TEST(WireMissing, OfNoOtherLengthIsAccepted) {
  vmm::PageSet pages(kRamPages);
  pages.set(PageRange{64, 70});
  const Bytes whole = encode_missing({64, 70}, pages);
  missing_of(whole);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == kRangeBytes) continue;  // the short form
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(static_cast<void>(missing_of(cut)), ProtocolError) << size;
  }
  Bytes longer = whole;
  longer.resize(whole.size() + 8);
  expect_error([&] { static_cast<void>(missing_of(longer)); }, "stray");
}

TEST(WireMissing, BitsBeyondTheEndAreRefused) {
  expect_error(
      [] { static_cast<void>(missing_of(from_hex("00000000 03000000 0800000000000000"))); },
      "beyond its end");
  expect_error(
      [] { static_cast<void>(missing_of(from_hex("00000000 3f000000 0000000000000080"))); },
      "beyond its end");
  EXPECT_EQ(missing_of(from_hex("00000000 40000000 0000000000000080")).pages, (Ranges{{63, 1}}));
}

TEST(WireMissing, RangesOutsideRamAreRefused) {
  for (const std::string_view hex :
       {"00000000 00000000", "00100000 01000000", "ff0f0000 02000000", "ffffffff ffffffff",
        "ff0f0000 02000000 0300000000000000", "00000000 00000000 0000000000000000"}) {
    expect_error([&] { static_cast<void>(missing_of(from_hex(hex))); }, "RAM has 4096 pages");
  }
}

TEST(WireMissing, ABitmapOfTooManyPagesIsRefused) {
  const std::uint64_t pages = kMaxMissingPages + 1;
  Bytes payload = encode_all_missing({0, pages});
  payload.resize(payload.size() + (pages + 63) / 64 * 8);
  expect_error([&] { static_cast<void>(decode_missing(payload, pages)); }, "too many pages");
  // And as it would come: the header says so before any of it is read.
  EXPECT_EQ(header_of("1c 00 00 00 08 00 02 00").payload, kRangeBytes + kMaxMissingPages / 8);
  expect_error([] { static_cast<void>(header_of("1c 00 00 00 09 00 02 00")); }, "over its limit");
}

Bytes request(vmm::PageIndex page, bool compressed) {
  Bytes frame;
  put_request(frame, page, compressed);
  return frame;
}

/// Without its header.
Bytes request_payload(vmm::PageIndex page, bool compressed) {
  const Bytes frame = request(page, compressed);
  return {frame.begin() + kHeaderBytes, frame.end()};
}

TEST(WireRequest, IsAsTheProtocolPageShowsIt) {
  EXPECT_EQ(request(261, true), from_hex("28 00 00 00  08 00 00 00  05 01 00 00  01 00 00 00"));
}

TEST(WireRequest, SurvivesTheTripAndIsBounded) {
  for (const bool compressed : {false, true}) {
    const PageRequest request = decode_request(request_payload(4095, compressed), kRamPages);
    EXPECT_EQ(request.page, 4095U);
    EXPECT_EQ(request.compressed, compressed);
  }
  expect_no_other_length(request_payload(1, true), [](const Bytes& payload) {
    static_cast<void>(decode_request(payload, kRamPages));
  });
  for (const std::string_view hex :
       {"00100000 00000000", "ffffffff 00000000", "00000000 02000000", "00000000 00000080"}) {
    expect_error([&] { static_cast<void>(decode_request(from_hex(hex), kRamPages)); }, "unsound");
  }
  expect_error([] { static_cast<void>(header_of("28 00 00 00 09 00 00 00")); }, "over its limit");
}

Bytes single_page(vmm::PageIndex page, PageEncoding encoding, std::uint64_t digest,
                  std::span<const std::byte> data, FrameType type = FrameType::page) {
  Bytes frame;
  put_single_page(frame, type, page, encoding, digest, data.size());
  frame.insert(frame.end(), data.begin(), data.end());
  return frame;
}

Bytes payload_of(const Bytes& frame) { return {frame.begin() + kHeaderBytes, frame.end()}; }

TEST(WirePage, IsAsTheProtocolPageShowsIt) {
  // Page 5, filled with 0x41, as an LZ4 block.
  const Bytes block =
      from_hex("1f 41 01 00 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff f6 50 41 41 41 41 41");
  EXPECT_EQ(single_page(5, PageEncoding::lz4, 0xa03de37a157c16bd, block),
            from_hex("29 00 00 00  2a 00 00 00  05 00 00 00  02 00 00 00  bd 16 7c 15 7a e3 3d a0 "
                     "1f 41 01 00 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff f6 "
                     "50 41 41 41 41 41"));
  EXPECT_EQ(
      single_page(6, PageEncoding::zero, 0, {}),
      from_hex("29 00 00 00  10 00 00 00  06 00 00 00  00 00 00 00  00 00 00 00 00 00 00 00"));
}

TEST(WirePage, SurvivesTheTrip) {
  const Bytes whole(vmm::kPageSize, std::byte{7});
  const Bytes block(100, std::byte{9});
  const struct {
    PageEncoding encoding;
    Bytes data;
  } pages[] = {{PageEncoding::zero, {}},
               {PageEncoding::raw, whole},
               {PageEncoding::lz4, block},
               {PageEncoding::lz4, whole}};
  for (const auto& [encoding, data] : pages) {
    const Bytes frame = single_page(4095, encoding, 0x1122334455667788, data);
    EXPECT_EQ(header_of(frame).type, FrameType::page);
    EXPECT_EQ(header_of(frame).payload, frame.size() - kHeaderBytes);
    const Bytes payload = payload_of(frame);
    const SinglePage page = decode_page(payload, kRamPages);
    EXPECT_EQ(page.page, 4095U);
    EXPECT_EQ(page.encoding, encoding);
    EXPECT_EQ(page.digest, 0x1122334455667788U);
    EXPECT_TRUE(std::ranges::equal(page.data, data));
  }
}

TEST(WirePage, AnEarlyOneDiffersInTheTypeAlone) {
  const Bytes data(vmm::kPageSize, std::byte{7});
  Bytes frame = single_page(4095, PageEncoding::raw, 1, data, FrameType::early);
  EXPECT_EQ(header_of(frame).type, FrameType::early);
  EXPECT_EQ(frame[0], std::byte{0x2a});
  frame[0] = std::byte{0x29};
  EXPECT_EQ(frame, single_page(4095, PageEncoding::raw, 1, data));
  expect_error([] { static_cast<void>(header_of("2a 00 00 00 11 10 00 00")); }, "over its limit");
}

TEST(WirePage, OfAWrongLengthIsRefused) {
  const auto decode = [](PageEncoding encoding, std::size_t size) {
    return [=] {
      const Bytes payload = payload_of(single_page(1, encoding, 0, Bytes(size)));
      static_cast<void>(decode_page(payload, kRamPages));
    };
  };
  expect_error(decode(PageEncoding::zero, 1), "wrong length");
  expect_error(decode(PageEncoding::raw, 0), "wrong length");
  expect_error(decode(PageEncoding::raw, vmm::kPageSize - 1), "wrong length");
  expect_error(decode(PageEncoding::raw, vmm::kPageSize + 1), "wrong length");
  expect_error(decode(PageEncoding::lz4, 0), "wrong length");
  // What is longer than a page is not read at all.
  EXPECT_EQ(header_of("29 00 00 00 10 10 00 00").payload, 16 + vmm::kPageSize);
  expect_error([] { static_cast<void>(header_of("29 00 00 00 11 10 00 00")); }, "over its limit");
}

TEST(WirePage, CutInItsHeadOrUnsoundIsRefused) {
  const Bytes whole = payload_of(single_page(1, PageEncoding::zero, 0, {}));
  expect_no_other_length(
      whole, [](const Bytes& payload) { static_cast<void>(decode_page(payload, kRamPages)); });
  for (const std::string_view hex :
       {"00100000 00000000 0000000000000000", "ffffffff 00000000 0000000000000000",
        "00000000 03000000 0000000000000000", "00000000 ffffffff 0000000000000000"}) {
    expect_error([&] { static_cast<void>(decode_page(from_hex(hex), kRamPages)); }, "unsound page");
  }
}

TEST(WirePostCopy, TheFrameTellsARound) {
  EXPECT_EQ(frame_of(FrameType::post_copy, encode_round(2)),
            from_hex("1d 00 00 00  04 00 00 00  02 00 00 00"));
  EXPECT_EQ(header_of("1d 00 00 00 04 00 00 00").type, FrameType::post_copy);
  expect_error([] { static_cast<void>(header_of("1d 00 00 00 05 00 00 00")); }, "over its limit");
  expect_no_other_length(encode_round(2),
                         [](const Bytes& payload) { static_cast<void>(decode_round(payload)); });
}

TEST(WirePostCopy, TheEndOfTheGuestComesWithItsReason) {
  const Bytes frame = frame_of(FrameType::ended, encode(Reason{"it\nended"}));
  EXPECT_EQ(header_of(frame).type, FrameType::ended);
  EXPECT_EQ(decode<Reason>(payload_of(frame)).reason, "it?ended");
  expect_error([] { static_cast<void>(header_of("1e 00 00 00 01 00 04 00")); }, "over its limit");
}

TEST(WirePostCopy, TypesNextToThoseOfFaultConnectionsAreUnknown) {
  EXPECT_EQ(header_of("2c 00 00 00 00 00 01 00").type, FrameType::probe);
  expect_error([] { static_cast<void>(header_of("2c 00 00 00 01 00 01 00")); }, "over its limit");
  EXPECT_EQ(header_of("2d 00 00 00 00 00 00 00").type, FrameType::probed);
  expect_error([] { static_cast<void>(header_of("2d 00 00 00 01 00 00 00")); }, "over its limit");
  check_direction({FrameType::probe}, Side::destination);
  check_direction({FrameType::probed}, Side::source);
  expect_error([] { check_direction({FrameType::probe}, Side::source); }, "out of turn");
  expect_error([] { check_direction({FrameType::probed}, Side::destination); }, "out of turn");
  expect_error([] { static_cast<void>(header_of("2e 00 00 00 00 00 00 00")); }, "unknown type 46");
  // None of the new frames has ranges.
  for (const std::string_view hex : {"1c 00 01 00 08 00 00 00", "1d 00 01 00 04 00 00 00",
                                     "28 00 01 00 08 00 00 00", "29 00 01 00 10 00 00 00"}) {
    expect_error([&] { static_cast<void>(header_of(hex)); }, "unsound");
  }
}

TEST(WirePostCopy, PageFramesHaveRoomForADigestOfEachPage) {
  constexpr std::size_t kList = kMaxRanges * kRangeBytes;
  const auto header = [](FrameType type, std::size_t payload) {
    Bytes frame = {static_cast<std::byte>(type), std::byte{0}, std::byte{0}, std::byte{4}};
    vmm::ByteWriter(frame).u32(static_cast<std::uint32_t>(payload));
    return header_of(frame);
  };
  const std::size_t raw = kList + kMaxRawPages * (vmm::kPageSize + kDigestBytes);
  const std::size_t lz4 = kList + kMaxLz4Pages * (vmm::kPageSize + kDigestBytes);
  EXPECT_EQ(header(FrameType::pages_raw, raw).payload, raw);
  const std::size_t delta = kList + kMaxDeltaPages * (vmm::kPageSize + kDeltaHeadBytes);
  EXPECT_EQ(header(FrameType::pages_lz4, lz4).payload, lz4);
  EXPECT_EQ(header(FrameType::pages_delta, delta).payload, delta);
  EXPECT_THROW(header(FrameType::pages_delta, delta + 1), ProtocolError);
  EXPECT_THROW(header(FrameType::pages_raw, raw + 1), ProtocolError);
  EXPECT_THROW(header(FrameType::pages_lz4, lz4 + 1), ProtocolError);
}

TEST(WirePostCopy, ARunningMessageIsBounded) {
  const auto running = [](const std::string& more) {
    const std::string json = R"({"incarnation":"i","cpu_seconds":1,"peak_rss":2,)" + more + "}";
    const auto bytes = std::as_bytes(std::span(json));
    return [payload = Bytes(bytes.begin(), bytes.end())] {
      static_cast<void>(decode<Running>(payload));
    };
  };
  const std::string faults = R"("faults":1,"fault_p50_us":1.5,"fault_p99_us":2,"fault_max_us":3)";
  EXPECT_NO_THROW(running(R"("missing":0,"round":4294967295,)" + faults)());
  expect_error(running(R"("round":1,)" + faults), "without \"missing\"");
  expect_error(running(R"("missing":-1,"round":1,)" + faults), "\"missing\"");
  expect_error(running(R"("missing":0,"round":4294967296,)" + faults), "\"round\"");
  expect_error(running(R"("missing":0,"round":1.5,)" + faults), "\"round\"");
  expect_error(running(R"("missing":0,"round":1,"faults":-1)"), "\"faults\"");
  expect_error(running(R"("missing":0,"round":1,"faults":1,"fault_p50_us":-1)"),
               "\"fault_p50_us\"");
}

}  // namespace
}  // namespace migration::wire
