#include "vmm/ferry/report_view.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace ferry {
namespace {

migration::MigrationReport example() {
  migration::MigrationReport report;
  report.outcome = migration::Outcome::completed;
  report.mode = "pre-copy";
  report.transport = "tcp";
  report.phase = "round 2";
  report.owner = "the VM runs at tcp:b:7000";
  report.total_ms = 500;
  report.downtime_ms = 2.5;
  report.wire_bytes = 50 << 20;
  report.pages.total = 131072;
  report.pages.unpopulated = 31072;
  report.pages.zero = 20000;
  report.pages.raw = 40000;
  report.pages.compressed = 5000;
  report.pages.resent = 15000;
  report.rounds = {{50000, 48 << 20, 480, 15000, 0}, {15000, 2 << 20, 20, 12, 40}};
  return report;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ReportView, ProgressTellsPhaseBytesAndRate) {
  const std::string line = progress_line(example());
  EXPECT_TRUE(contains(line, "round 2")) << line;
  EXPECT_TRUE(contains(line, "50.0 MiB sent")) << line;
  EXPECT_TRUE(contains(line, "100.0 MiB/s")) << line;
  EXPECT_TRUE(contains(line, "12 pages dirtied")) << line;
  EXPECT_TRUE(contains(line, "slowed by 40 %")) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(ReportView, TheBarShowsPagesSentOnceOfThoseThatTheGuestHas) {
  EXPECT_TRUE(contains(progress_bar(example()), " 50 %")) << progress_bar(example());
  migration::MigrationReport empty;
  EXPECT_TRUE(contains(progress_bar(empty), "100 %"));
}

TEST(ReportView, TheTableHasEveryRound) {
  const std::string table = report_table(example());
  EXPECT_TRUE(contains(table, "completed (pre-copy over tcp)")) << table;
  EXPECT_TRUE(contains(table, "2.50 ms"));
  EXPECT_TRUE(contains(table, "131,072 in all: 31,072 never touched, 20,000 zero"));
  EXPECT_TRUE(contains(table, "48.0 MiB"));
  EXPECT_TRUE(contains(table, "slowed by 40 %"));
  EXPECT_FALSE(contains(table, "verified"));
  EXPECT_FALSE(contains(table, "error"));
}

TEST(ReportView, TheTableTellsOfPostCopyWhereThereWasSome) {
  EXPECT_FALSE(contains(report_table(example()), "post-copy"));
  EXPECT_FALSE(contains(report_table(example()), "faults"));
  migration::MigrationReport report = example();
  report.mode = "auto";
  report.switched = "the guest writes pages as fast as they are sent (after round 2)";
  report.pages.demand = 1500;
  report.pages.pushed = 13500;
  report.faults = {1600, 80.2, 300, 1234};
  const std::string table = report_table(report);
  EXPECT_TRUE(contains(table, "completed (auto over tcp)")) << table;
  EXPECT_TRUE(contains(table, "switched      to post-copy: the guest writes pages as fast as they"))
      << table;
  EXPECT_TRUE(contains(table, "post-copy     1,500 pages waited for, 13,500 pushed")) << table;
  EXPECT_TRUE(contains(table,
                       "faults        1,600: half within 80 us, 99 % within 300 us, all within "
                       "1234 us"))
      << table;
}

TEST(ReportView, TheTableSaysWhatWentWrong) {
  migration::MigrationReport report = example();
  report.outcome = migration::Outcome::failed;
  report.error = "the destination refused: no room";
  report.verified = false;
  const std::string table = report_table(report);
  EXPECT_TRUE(contains(table, "the destination refused: no room"));
  EXPECT_TRUE(contains(table, "verified"));
}

TEST(ReportView, InfoOfAReceiverThatWaitsHasNoMachine) {
  const std::string table = info_table({{"state", "listening"},
                                        {"owner", "waits for a VM"},
                                        {"id", ""},
                                        {"name", ""},
                                        {"cpus", 0},
                                        {"memory", 0},
                                        {"pid", 7},
                                        {"arrival", nullptr},
                                        {"migration", nullptr}});
  EXPECT_TRUE(contains(table, "listening"));
  EXPECT_FALSE(contains(table, "machine"));
  EXPECT_FALSE(contains(table, "arrival"));
}

TEST(ReportView, InfoOfAVmThatLacksPagesTellsHowManyAndHowLongItWaits) {
  const std::string table = info_table(
      {{"state", "running"},
       {"owner", "arrived, running"},
       {"id", "2f6d"},
       {"name", "demo"},
       {"cpus", 1},
       {"memory", 64 << 20},
       {"pid", 7},
       {"arrival",
        {{"missing", 12345},
         {"faults", {{"count", 1200}, {"p50_us", 90.4}, {"p99_us", 310.0}, {"max_us", 900.0}}}}},
       {"migration", nullptr}});
  EXPECT_TRUE(contains(table,
                       "arrival       12,345 pages missing; 1,200 faults, half within 90 us, 99 % "
                       "within 310 us\n"))
      << table;
}

}  // namespace
}  // namespace ferry
