#include "migration/base/report.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace migration {
namespace {

TEST(MigrationReport, SurvivesJson) {
  MigrationReport report;
  report.outcome = Outcome::in_doubt;
  report.error = "lost";
  report.mode = "pre-copy";
  report.downtime_ms = 3.5;
  report.switched = "in vain";
  report.progress = 42.5;
  report.left_ms = 1250.5;
  report.kept_image.error = "full";
  report.pages.compressed = 12;
  report.pages.free = 11;
  report.pages.zstd = 17;
  report.pages.delta = 13;
  report.saved = {.delta = 14, .duplicate = 16};
  report.delta_cache_bytes = 15;
  report.channels = 3;
  report.pages.demand = 7;
  report.pages.pushed = 9;
  report.faults = {8, 90.5, 300.25, 1000};
  report.rounds.push_back({1, 2, 3.5, 4, 20});
  report.stop_wait = {120, 40.5, 3.5};
  report.phases_ms.restore = 0.5;
  report.verified = true;
  report.peak_rss_destination = 99;
  const auto back = report_from_json(to_json(report));
  EXPECT_EQ(to_json(back), to_json(report));
  EXPECT_EQ(back.outcome, Outcome::in_doubt);
  EXPECT_EQ(back.rounds.at(0).throttle, 20U);
  EXPECT_EQ(back.pages.zstd, 17U);
  EXPECT_EQ(back.pages.delta, 13U);
  EXPECT_EQ(back.saved.delta, 14U);
  EXPECT_EQ(back.saved.duplicate, 16U);
  EXPECT_EQ(back.delta_cache_bytes, 15U);
  EXPECT_EQ(back.channels, 3U);
  EXPECT_EQ(back.switched, "in vain");
  EXPECT_EQ(back.progress, 42.5);
  EXPECT_EQ(back.left_ms, 1250.5);
  EXPECT_EQ(back.kept_image.error, "full");
  EXPECT_EQ(back.pages.free, 11U);
  EXPECT_EQ(back.pages.demand, 7U);
  EXPECT_EQ(back.pages.pushed, 9U);
  ASSERT_TRUE(back.stop_wait);
  EXPECT_EQ(back.stop_wait->ms, 120);
  EXPECT_EQ(back.stop_wait->first_downtime_ms, 40.5);
  EXPECT_EQ(back.stop_wait->downtime_ms, 3.5);
  EXPECT_EQ(back.faults.count, 8U);
  EXPECT_EQ(back.faults.p50_us, 90.5);
  EXPECT_EQ(back.faults.p99_us, 300.25);
  EXPECT_EQ(back.faults.max_us, 1000);
}

TEST(MigrationReport, SaysNullWhereItWasNotSwitched) {
  const auto json = to_json(MigrationReport{});
  EXPECT_TRUE(json.at("switched").is_null());
  EXPECT_FALSE(report_from_json(json).switched);
}

TEST(MigrationReport, HasEveryFieldOfTheFixedForm) {
  const auto json = to_json(MigrationReport{});
  for (const char* path : {"/outcome",
                           "/error",
                           "/mode",
                           "/switched",
                           "/transport",
                           "/progress",
                           "/left_ms",
                           "/total_ms",
                           "/downtime_ms",
                           "/wire_bytes",
                           "/wire_bytes_back",
                           "/pages/total",
                           "/pages/unpopulated",
                           "/pages/zero",
                           "/pages/raw",
                           "/pages/compressed",
                           "/pages/reused",
                           "/pages/duplicate",
                           "/pages/free",
                           "/pages/demand",
                           "/pages/pushed",
                           "/pages/resent",
                           "/pages/held_back",
                           "/rounds",
                           "/stop_wait",
                           "/faults/count",
                           "/faults/p50_us",
                           "/faults/p99_us",
                           "/faults/max_us",
                           "/phases_ms/drain",
                           "/phases_ms/stop",
                           "/phases_ms/last_pages",
                           "/phases_ms/state",
                           "/phases_ms/restore",
                           "/phases_ms/commit",
                           "/phases_ms/verify",
                           "/kept_image/pages",
                           "/kept_image/bytes",
                           "/kept_image/error",
                           "/verified",
                           "/cpu_seconds/source",
                           "/cpu_seconds/destination",
                           "/peak_rss_bytes/source",
                           "/peak_rss_bytes/destination"}) {
    EXPECT_TRUE(json.contains(nlohmann::json::json_pointer(path))) << path;
  }
}

TEST(MigrationReport, IsNoneWithAnOutcomeThatThereIsNot) {
  nlohmann::json json = to_json(MigrationReport{});
  json["outcome"] = "triumph";
  EXPECT_THROW(static_cast<void>(report_from_json(json)), std::invalid_argument);
}

}  // namespace
}  // namespace migration
