#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/messages.hpp"
#include "tests/migration/wire_bytes.hpp"

namespace migration::wire {
namespace {

using vmm::PageRange;
using Ranges = std::vector<PageRange>;

constexpr std::uint64_t kReuseRamPages = 4096;

PageHash hash_of(unsigned char byte) {
  PageHash hash{};
  hash.fill(std::byte{byte});
  return hash;
}

Bytes cut(const Bytes& whole, std::size_t size) {
  return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)};
}

Bytes json_bytes(std::string_view json) {
  const auto bytes = std::as_bytes(std::span(json));
  return {bytes.begin(), bytes.end()};
}

TEST(WireReuse, FramesAreAsTheProtocolPageShowsThem) {
  vmm::PageSet pages(kReuseRamPages);
  pages.set(PageRange{64, 2});
  pages.set(PageRange{133, 1});
  EXPECT_EQ(frame_of(FrameType::held, encode_missing({64, 70}, pages)),
            from_hex("22 00 00 00  18 00 00 00  40 00 00 00 46 00 00 00  "
                     "03 00 00 00 00 00 00 00  20 00 00 00 00 00 00 00"));
  const Ranges runs{{64, 2}, {133, 1}};
  EXPECT_EQ(encode_missing({64, 70}, runs), encode_missing({64, 70}, pages));
  EXPECT_THROW(static_cast<void>(encode_missing({64, 69}, runs)), std::length_error);
  const Hashes hashes{{{64, 2}, {133, 1}}, {hash_of(0x11), hash_of(0x22), hash_of(0x33)}};
  EXPECT_EQ(frame_of(FrameType::hashes, encode_hashes(hashes)),
            from_hex("23 00 00 00  40 00 00 00  40 00 00 00 02 00 00 00  "
                     "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11  "
                     "22 22 22 22 22 22 22 22 22 22 22 22 22 22 22 22  "
                     "85 00 00 00 01 00 00 00  "
                     "33 33 33 33 33 33 33 33 33 33 33 33 33 33 33 33"));
  const Copy copies[] = {{256, 512, 16}, {512, 1024, 1}};
  EXPECT_EQ(frame_of(FrameType::copies, encode_copies(copies)),
            from_hex("24 00 00 00  18 00 00 00  00 01 00 00 00 02 00 00 10 00 00 00  "
                     "00 02 00 00 00 04 00 00 01 00 00 00"));
  EXPECT_EQ(frame_of(FrameType::copies, encode_copies({})), from_hex("24 00 00 00  00 00 00 00"));
  EXPECT_EQ(frame_of(FrameType::changed, encode_hashes({{{133, 1}}, {hash_of(0x44)}})),
            from_hex("25 00 00 00  18 00 00 00  85 00 00 00 01 00 00 00  "
                     "44 44 44 44 44 44 44 44 44 44 44 44 44 44 44 44"));
}

TEST(WireReuse, FramesAreBoundedByTheirHeader) {
  EXPECT_EQ(header_of("22 00 00 00 08 00 02 00").payload, kRangeBytes + kMaxMissingPages / 8);
  EXPECT_EQ(header_of("23 00 00 00 00 00 06 00").payload, kMaxHashPages * 24);
  EXPECT_EQ(header_of("24 00 00 00 00 00 03 00").payload, kMaxCopies * kCopyBytes);
  EXPECT_EQ(header_of("25 00 00 00 00 00 06 00").payload, kMaxHashPages * 24);
  EXPECT_EQ(header_of("26 00 00 00 08 00 02 00").payload, kRangeBytes + kMaxMissingPages / 8);
  for (const std::string_view hex :
       {"22 00 00 00 09 00 02 00", "23 00 00 00 01 00 06 00", "24 00 00 00 01 00 03 00",
        "25 00 00 00 01 00 06 00", "26 00 00 00 09 00 02 00"}) {
    expect_error([&] { static_cast<void>(header_of(hex)); }, "over its limit");
  }
  for (const std::string_view hex :
       {"22 00 01 00 08 00 00 00", "23 00 01 00 18 00 00 00", "24 00 01 00 0c 00 00 00",
        "25 00 01 00 18 00 00 00", "26 00 01 00 08 00 00 00"}) {
    expect_error([&] { static_cast<void>(header_of(hex)); }, "unsound");
  }
}

TEST(Wire, TheLastWordsOfAHandoverAreEmptyAndHaveOneDirection) {
  EXPECT_EQ(header_of("27 00 00 00 00 00 00 00").type, FrameType::released);
  EXPECT_EQ(header_of("2b 00 00 00 00 00 00 00").type, FrameType::acknowledged);
  for (const std::string_view hex : {"27 00 00 00 01 00 00 00", "2b 00 00 00 01 00 00 00"}) {
    expect_error([&] { static_cast<void>(header_of(hex)); }, "over its limit");
  }
  check_direction({FrameType::released}, Side::destination);
  check_direction({FrameType::acknowledged}, Side::source);
  expect_error([] { check_direction({FrameType::released}, Side::source); }, "out of turn");
  expect_error([] { check_direction({FrameType::acknowledged}, Side::destination); },
               "out of turn");
}

TEST(WireBitmapPieces, CoverAllPagesThatAreSetAndNoPieceInVain) {
  const std::uint64_t ram = 3 * kMaxMissingPages + 100;
  vmm::PageSet pages(ram);
  EXPECT_TRUE(bitmap_pieces(pages).empty());
  pages.set(PageRange{kMaxMissingPages - 1, 1});
  pages.set(PageRange{ram - 1, 1});
  EXPECT_EQ(bitmap_pieces(pages), (Ranges{{0, kMaxMissingPages}, {3 * kMaxMissingPages, 100}}));
  vmm::PageSet back(ram);
  for (const PageRange& piece : bitmap_pieces(pages)) {
    for (const PageRange& run : decode_missing(encode_missing(piece, pages), ram).pages) {
      back.set(run);
    }
  }
  EXPECT_EQ(back, pages);
}

TEST(WireHashes, SurviveTheTrip) {
  const Hashes hashes{{{7, 1}, {8, 1}, {4093, 3}},
                      {hash_of(1), hash_of(2), hash_of(255), hash_of(4), hash_of(5)}};
  const Hashes back = decode_hashes(encode_hashes(hashes), kReuseRamPages);
  EXPECT_EQ(back.ranges, hashes.ranges);
  EXPECT_EQ(back.hashes, hashes.hashes);
  EXPECT_EQ(back.stretch(), (PageRange{7, 4089}));
}

TEST(WireHashes, OfNoOtherLengthAreAccepted) {
  const Bytes whole = encode_hashes({{{5, 2}, {9, 1}}, {hash_of(1), hash_of(2), hash_of(3)}});
  constexpr std::size_t kFirstRun = kRangeBytes + 2 * sizeof(PageHash);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == kFirstRun) continue;  // a whole run, and no other
    expect_error([&] { static_cast<void>(decode_hashes(cut(whole, size), kReuseRamPages)); },
                 "truncated");
  }
}

TEST(WireHashes, OfPagesOutsideRamOrOutOfOrderAreRefused) {
  const auto refused = [](const Hashes& hashes, std::string_view why) {
    expect_error([&] { static_cast<void>(decode_hashes(encode_hashes(hashes), kReuseRamPages)); },
                 why);
  };
  refused({{{4095, 2}}, {hash_of(1), hash_of(2)}}, "RAM has 4096 pages");
  refused({{{5, 1}, {5, 1}}, {hash_of(1), hash_of(2)}}, "out of order");
  refused({{{5, 1}, {4, 1}}, {hash_of(1), hash_of(2)}}, "out of order");
  expect_error(
      [] { static_cast<void>(decode_hashes(from_hex("00000000 00000000"), kReuseRamPages)); },
      "RAM has 4096 pages");
}

TEST(WireHashes, OfTooManyPagesAreRefused) {
  Bytes many = encode_all_missing({0, kMaxHashPages + 1});
  many.resize(kRangeBytes + (kMaxHashPages + 1) * sizeof(PageHash));
  expect_error([&] { static_cast<void>(decode_hashes(many, 2 * kMaxHashPages)); },
               "too many hashes");
  const Hashes far{{{0, 1}, {kMaxHashStretch, 1}}, {hash_of(1), hash_of(2)}};
  expect_error([&] { static_cast<void>(decode_hashes(encode_hashes(far), 2 * kMaxHashStretch)); },
               "too many hashes");
}

TEST(WireHashes, OfManyPagesGoInFewFrames) {
  const std::uint64_t ram = 3 * kMaxMissingPages;
  vmm::PageSet pages(ram);
  for (vmm::PageIndex page = 0; page < 40000; page += 2) pages.set(page);
  pages.set(PageRange{kMaxMissingPages - 5000, 20000});
  pages.set(ram - 1);
  std::vector<PageHash> hashes(pages.count());
  for (std::size_t i = 0; i < hashes.size(); ++i)
    hashes[i] = hash_of(static_cast<unsigned char>(i % 251));
  const std::vector<Hashes> frames = hashes_of(pages, hashes);
  EXPECT_EQ(frames.size(), 4U);
  vmm::PageSet told(ram);
  std::vector<PageHash> back;
  for (const Hashes& frame : frames) {
    const Hashes decoded = decode_hashes(encode_hashes(frame), ram);
    for (const PageRange& range : decoded.ranges) told.set(range);
    back.insert(back.end(), decoded.hashes.begin(), decoded.hashes.end());
  }
  EXPECT_EQ(told, pages);
  EXPECT_EQ(back, hashes);
}

std::vector<Copy> copies_of(std::string_view hex) {
  return decode_copies(from_hex(hex), kReuseRamPages);
}

TEST(WireCopies, SurviveTheTripInTheirOrder) {
  const std::vector<Copy> copies = {{4000, 0, 96}, {0, 4000, 96}, {7, 6, 1}, {6, 7, 1}};
  EXPECT_EQ(decode_copies(encode_copies(copies), kReuseRamPages), copies);
  EXPECT_TRUE(decode_copies(encode_copies({}), kReuseRamPages).empty());
}

TEST(WireCopies, OfNoOtherLengthAreAccepted) {
  const Copy copies[] = {{1, 2, 1}, {2, 3, 1}};
  const Bytes whole = encode_copies(copies);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size % kCopyBytes == 0) continue;  // fewer copies
    expect_error([&] { static_cast<void>(decode_copies(cut(whole, size), kReuseRamPages)); },
                 "stray");
  }
  Bytes many = encode_copies({});
  many.resize((kMaxCopies + 1) * kCopyBytes);
  expect_error([&] { static_cast<void>(decode_copies(many, kReuseRamPages)); }, "too many copies");
}

TEST(WireCopies, OutsideRamAreRefused) {
  EXPECT_EQ(copies_of("ff0f0000 00000000 01000000").size(), 1U);
  EXPECT_EQ(copies_of("00000000 ff0f0000 01000000").size(), 1U);
  for (const std::string_view hex :
       {"00100000 00000000 01000000", "00000000 00100000 01000000", "ff0f0000 00000000 02000000",
        "00000000 ff0f0000 02000000", "ffffffff 00000000 01000000", "00000000 ffffffff 01000000",
        "00000000 00080000 ffffffff", "00000000 01000000 00000000"}) {
    expect_error([&] { static_cast<void>(copies_of(hex)); }, "of 4096 in RAM");
  }
}

TEST(WireCopies, OntoThemselvesAreRefused) {
  EXPECT_EQ(copies_of("00000000 02000000 02000000").size(), 1U);
  EXPECT_EQ(copies_of("02000000 00000000 02000000").size(), 1U);
  for (const std::string_view hex :
       {"00000000 02000000 03000000", "02000000 00000000 03000000", "05000000 05000000 01000000"}) {
    expect_error([&] { static_cast<void>(copies_of(hex)); }, "of 4096 in RAM");
  }
}

TEST(WireCopies, OfMorePagesThanRamHasAreRefused) {
  std::vector<Copy> copies = {{0, 2048, 2048}, {2048, 0, 2048}};
  EXPECT_EQ(decode_copies(encode_copies(copies), kReuseRamPages).size(), 2U);
  copies.push_back({0, 1, 1});
  expect_error([&] { static_cast<void>(decode_copies(encode_copies(copies), kReuseRamPages)); },
               "more than once");
}

TEST(ReuseMessages, AnOfferTellsOfImages) {
  Offer offer{.config = "{}", .mode = "auto"};
  EXPECT_FALSE(decode<Offer>(encode(offer)).keep);
  EXPECT_EQ(decode<Offer>(encode(offer)).image_token, std::nullopt);
  EXPECT_EQ(decode<Offer>(encode(offer)).reuse, Reuse::automatic);
  offer.keep = true;
  offer.image_key = hash_of(9);
  offer.image_token = random_token();
  EXPECT_TRUE(decode<Offer>(encode(offer)).keep);
  EXPECT_EQ(decode<Offer>(encode(offer)).image_key, offer.image_key);
  EXPECT_EQ(decode<Offer>(encode(offer)).image_token, offer.image_token);
  for (const Reuse reuse : {Reuse::automatic, Reuse::generation, Reuse::content, Reuse::off}) {
    offer.reuse = reuse;
    EXPECT_EQ(decode<Offer>(encode(offer)).reuse, reuse);
  }
}

TEST(ReuseMessages, AnUnsoundOfferNamesTheField) {
  const std::string start =
      R"({"token":"00112233445566778899aabbccddeeff","config":"{}","channels":1,"mode":"auto",)"
      R"("verify":true,"paused":false,"used":0,"timeout_ms":1)";
  const auto offer = [&](std::string_view rest) {
    return [bytes = json_bytes(start + std::string(rest) + "}")] {
      static_cast<void>(decode<Offer>(bytes));
    };
  };
  EXPECT_NO_THROW(offer(R"(,"keep":"","image":"","reuse":"off","features":["lz4"])")());
  expect_error(offer(""), "without \"keep\"");
  for (const std::string_view key :
       {"true", "1", R"("0")", R"("00112233445566778899AABBCCDDEEFF")"}) {
    expect_error(offer(R"(,"keep":)" + std::string(key)), "\"keep\"");
  }
  expect_error(offer(R"(,"keep":"")"), "without \"image\"");
  for (const std::string_view token :
       {"0", "00112233445566778899aabbccddeef", "00112233445566778899AABBCCDDEEFF",
        "00112233445566778899aabbccddeeff00", "00112233445566778899aabbccddeefg"}) {
    expect_error(offer(R"(,"keep":"","image":")" + std::string(token) + "\""), "\"image\"");
  }
  expect_error(offer(R"(,"keep":"","image":null)"), "\"image\"");
  expect_error(offer(R"(,"keep":"","image":"")"), "without \"reuse\"");
  expect_error(offer(R"(,"keep":"","image":"","reuse":"always")"), "\"reuse\"");
  // The token of the handover itself is never empty.
  expect_error(
      [] { static_cast<void>(decode<Inquire>(json_bytes(R"({"token":"","incarnation":"i"})"))); },
      "\"token\"");
}

TEST(ReuseMessages, AnAcceptTellsWhatIsHeldAndHow) {
  const Accept none = decode<Accept>(encode(Accept{"i", ""}));
  EXPECT_EQ(none.image_pages, 0U);
  EXPECT_EQ(none.image_by, Reuse::off);
  const Accept exact = decode<Accept>(encode(Accept{"i", "", 5, Reuse::generation}));
  EXPECT_EQ(exact.image_pages, 5U);
  EXPECT_EQ(exact.image_by, Reuse::generation);
  const Accept content =
      decode<Accept>(encode(Accept{"i", "no", std::uint64_t{1} << 32, Reuse::content, hash_of(7)}));
  EXPECT_EQ(content.image_pages, std::uint64_t{1} << 32);
  EXPECT_EQ(content.image_by, Reuse::content);
  EXPECT_EQ(content.image_key, hash_of(7));
  EXPECT_EQ(content.no_post_copy, "no");
  // An image of which nothing is held is none.
  const Accept empty = decode<Accept>(encode(Accept{"i", "", 0, Reuse::content, hash_of(7)}));
  EXPECT_EQ(empty.image_by, Reuse::off);
  EXPECT_EQ(empty.image_key, HashKey{});
}

TEST(ReuseMessages, AnUnsoundAcceptNamesTheField) {
  const auto accept = [](std::string_view image) {
    const std::string json =
        R"({"incarnation":"i","no_post_copy":"","timeout_ms":1,"features":[])" +
        std::string(image) + "}";
    return [bytes = json_bytes(json)] { static_cast<void>(decode<Accept>(bytes)); };
  };
  const std::string key = R"("key":"00112233445566778899aabbccddeeff")";
  EXPECT_NO_THROW(accept(R"(,"image":{"pages":1,"by":"content",)" + key + "}")());
  expect_error(accept(""), "without \"image\"");
  expect_error(accept(R"(,"image":"")"), "\"image\"");
  expect_error(accept(R"(,"image":{})"), "without \"pages\"");
  expect_error(accept(R"(,"image":{"pages":-1,"by":"","key":""})"), "\"pages\"");
  expect_error(accept(R"(,"image":{"pages":4294967297,"by":"generation","key":""})"), "\"pages\"");
  expect_error(accept(R"(,"image":{"pages":0,"by":"generation","key":""})"), "\"by\"");
  expect_error(accept(R"(,"image":{"pages":1,"by":"","key":""})"), "\"by\"");
  expect_error(accept(R"(,"image":{"pages":1,"by":"off","key":""})"), "\"by\"");
  expect_error(accept(R"(,"image":{"pages":1,"by":"auto","key":""})"), "\"by\"");
  expect_error(accept(R"(,"image":{"pages":1,"by":"content","key":""})"), "\"key\"");
  expect_error(accept(R"(,"image":{"pages":1,"by":"content","key":"00"})"), "\"key\"");
  expect_error(accept(R"(,"image":{"pages":1,"by":"generation","key":""})"), "\"key\"");
  expect_error(accept(R"(,"image":{"pages":0,"by":"",)" + key + "}"), "\"key\"");
}

}  // namespace
}  // namespace migration::wire
