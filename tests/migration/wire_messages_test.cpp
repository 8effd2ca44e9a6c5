#include <fmt/format.h>
#include <gtest/gtest.h>

#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/messages.hpp"
#include "tests/migration/wire_bytes.hpp"

namespace migration::wire {
namespace {

TEST(Messages, SurviveTheTrip) {
  const Offer offer{random_token(), "{\"memory\":1}", 4, "pre-copy", true, true, 1234};
  const auto back = decode<Offer>(encode(offer));
  EXPECT_EQ(back.token, offer.token);
  EXPECT_EQ(back.config, offer.config);
  EXPECT_EQ(back.channels, 4U);
  EXPECT_TRUE(back.verify && back.paused);
  EXPECT_EQ(back.used_bytes, 1234U);
  EXPECT_EQ(back.features, Features::all());
  EXPECT_EQ(decode<Accept>(encode(Accept{"abc", "no"})).incarnation, "abc");
  EXPECT_EQ(decode<Accept>(encode(Accept{"abc", "no"})).no_post_copy, "no");
  EXPECT_EQ(decode<Reason>(encode(Reason{"no \"room\""})).reason, "no \"room\"");
  EXPECT_TRUE(decode<Prepared>(encode(Prepared{"i", 1.5, true})).verified);
  const auto running =
      decode<Running>(encode(Running{"i", 0.25, 77, 5000, 3, {12, 100.5, 250, 1000.25}}));
  EXPECT_EQ(running.peak_rss, 77U);
  EXPECT_EQ(running.missing, 5000U);
  EXPECT_EQ(running.round, 3U);
  EXPECT_EQ(running.faults.count, 12U);
  EXPECT_EQ(running.faults.p50_us, 100.5);
  EXPECT_EQ(running.faults.p99_us, 250);
  EXPECT_EQ(running.faults.max_us, 1000.25);
  for (const auto status :
       {VmStatus::unknown, VmStatus::prepared, VmStatus::running, VmStatus::refused}) {
    EXPECT_EQ(decode<Status>(encode(Status{"i", status})).status, status);
  }
}

TEST(Messages, ALongReasonStillTravelsWhateverItIsMadeOf) {
  for (const std::string& reason :
       {std::string(5000, '\xff'), std::string("z") + std::string(4094, 'a') + "\xc3\xa9",
        std::string(5000, '\n')}) {
    const std::string back = decode<Reason>(encode(Reason{reason})).reason;
    EXPECT_GE(back.size(), 4094U);
    EXPECT_LE(back.size(), 4096U);
    Accept accept;
    accept.no_post_copy = reason;
    EXPECT_EQ(decode<Accept>(encode(accept)).no_post_copy, back);
  }
}

TEST(Messages, AReasonThatIsNotUtf8StillTravels) {
  EXPECT_FALSE(decode<Reason>(encode(Reason{"bad \xff byte"})).reason.empty());
  // Each of these bytes takes three, and the limit is the reader's.
  EXPECT_FALSE(decode<Reason>(encode(Reason{std::string(10'000, '\xff')})).reason.empty());
  EXPECT_FALSE(
      decode<Accept>(encode(Accept{"i", std::string(10'000, '\xff')})).no_post_copy.empty());
  EXPECT_LE(encode(Reason{std::string(10'000, '\x01')}).size(), kMaxTextBytes);
}

TEST(Messages, AReportArrivesHarmlessAndIsNeverTooLong) {
  MigrationReport report;
  report.outcome = Outcome::completed;
  report.owner = "the VM runs\nelsewhere";
  report.switched = "why\x1b[2J";
  report.total_ms = 12.5;
  report.rounds.resize(3);
  auto back = decode<MigrationReport>(encode(report));
  EXPECT_EQ(back.outcome, Outcome::completed);
  EXPECT_EQ(back.owner, "the VM runs?elsewhere");
  EXPECT_EQ(back.switched, "why?[2J");
  EXPECT_EQ(back.total_ms, 12.5);
  EXPECT_EQ(back.rounds.size(), 3U);
  report.rounds.resize(100'000);
  EXPECT_LE(encode(report).size(), kMaxTextBytes);
  back = decode<MigrationReport>(encode(report));
  EXPECT_TRUE(back.rounds.empty());
  EXPECT_EQ(back.total_ms, 12.5);
}

Bytes text(std::string_view json) {
  const auto bytes = std::as_bytes(std::span(json));
  return {bytes.begin(), bytes.end()};
}

TEST(Messages, AReasonSteersNoTerminal) {
  EXPECT_EQ(decode<Reason>(text(R"({"reason": "a\u001b[2J\u007f\u009b31m"})")).reason,
            "a?[2J??31m");
}

TEST(Features, AreThoseThatBothKnow) {
  const auto accept = [](std::string_view list) {
    return decode<Accept>(
        text(fmt::format(R"({{"incarnation":"i","no_post_copy":"","timeout_ms":1,"features":{},)"
                         R"("image":{{"pages":0,"by":"","key":""}}}})",
                         list)));
  };
  Features all_but_local = Features::all();
  all_but_local.remove(Feature::local);
  EXPECT_EQ(accept(R"(["lz4","report","delta","duplicates","zstd","marks"])").features,
            all_but_local);
  EXPECT_EQ(accept("[]").features, Features());
  const Features one = accept(R"(["teleport","lz4","lz4"])").features;
  EXPECT_TRUE(one.has(Feature::lz4));
  EXPECT_FALSE(one.has(Feature::report));
  EXPECT_EQ(one & Features::all(), one);
  Accept with_one;
  with_one.features = one;
  EXPECT_EQ(decode<Accept>(encode(with_one)).features, one);
  expect_error([&] { static_cast<void>(accept(R"(["local"])")); }, "\"no_local\"");
  Accept with_local;
  with_local.no_local = "why";
  EXPECT_EQ(decode<Accept>(encode(with_local)).no_local, "why");
  std::string many = "[\"x\"";
  for (std::size_t i = 0; i < Features::kMaxNames; ++i) many += ",\"x\"";
  const std::string long_name = "[\"" + std::string(Features::kMaxNameBytes + 1, 'x') + "\"]";
  for (const std::string& list : {std::string("7"), std::string("[7]"), std::string("[\"\"]"),
                                  std::string("{}"), many + "]", long_name}) {
    expect_error([&] { static_cast<void>(accept(list)); }, "\"features\"");
  }
}

TEST(Messages, UnsoundOnesNameTheField) {
  const auto offer = [](std::string_view json) {
    return [bytes = text(json)] { static_cast<void>(decode<Offer>(bytes)); };
  };
  expect_error(offer("["), "no JSON object");
  expect_error(offer("[]"), "no JSON object");
  expect_error(offer("{}"), "without \"token\"");
  expect_error(offer(R"({"token":"xyz"})"), "\"token\"");
  const std::string start = R"({"token":"00112233445566778899aabbccddeeff","config":"{}",)";
  expect_error(offer(start + R"("channels":0})"), "\"channels\"");
  expect_error(offer(start + R"("channels":17})"), "\"channels\"");
  expect_error(offer(start + R"("channels":-1})"), "\"channels\"");
  expect_error(offer(start + R"("channels":1,"mode":"teleport"})"), "\"mode\"");
  expect_error(offer(start + R"("channels":1,"mode":"pre-copy","verify":1})"), "\"verify\"");
  expect_error(
      [] { static_cast<void>(decode<Status>(text(R"({"incarnation":"i","status":"x"})"))); },
      "\"status\"");
  expect_error(offer(start + R"("channels":1,"mode":"auto","verify":true,"paused":false})"),
               "without \"used\"");
  expect_error([] { static_cast<void>(decode<Accept>(text(R"({"incarnation":"i"})"))); },
               "without \"no_post_copy\"");
  expect_error([] { static_cast<void>(decode<MigrationReport>(text(R"({"outcome":7})"))); },
               "unsound report");
  expect_error([] { static_cast<void>(decode<MigrationReport>(text(R"({"outcome":"x"})"))); },
               "unknown outcome");
  // Copying what is so deep would need more stack than there is.
  const std::string deep = R"({"incarnation":"i","no_post_copy":"","image":)" +
                           std::string(30'000, '[') + std::string(30'000, ']') + "}";
  expect_error([&] { static_cast<void>(decode<Accept>(text(deep))); }, "no JSON object");
  expect_error(
      [] { static_cast<void>(decode<Prepared>(text(R"({"incarnation":"i","restore_ms":-1})"))); },
      "\"restore_ms\"");
}

}  // namespace
}  // namespace migration::wire
