#include "ferry/report_view.hpp"

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
  report.progress = 50.9;
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

TEST(ReportView, ProgressTellsHowMuchIsDonePhaseBytesAndRate) {
  const std::string line = progress_line(example());
  EXPECT_TRUE(contains(line, "50 %")) << line;
  EXPECT_TRUE(contains(line, "round 2")) << line;
  EXPECT_TRUE(contains(line, "50.0 MiB sent")) << line;
  EXPECT_TRUE(contains(line, "100.0 MiB/s")) << line;
  EXPECT_TRUE(contains(line, "12 pages dirtied")) << line;
  EXPECT_TRUE(contains(line, "slowed by 40 %")) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(ReportView, TellsTheTimeLeftOnceItIsKnown) {
  migration::MigrationReport report = example();
  report.outcome = migration::Outcome::running;
  EXPECT_FALSE(contains(progress_line(report), " left")) << progress_line(report);
  EXPECT_FALSE(contains(report_table(report), " left")) << report_table(report);
  report.left_ms = 2345.6;
  EXPECT_TRUE(contains(progress_line(report), "500.00 ms, 2.3 s left")) << progress_line(report);
  EXPECT_TRUE(contains(report_table(report), "50 % done, 2.3 s left")) << report_table(report);
}

TEST(ReportView, TellsWhatWaitingForTheStopCameTo) {
  migration::MigrationReport report = example();
  EXPECT_FALSE(contains(report_table(report), "waited"));
  report.stop_wait = {312.5, 41.2, 3.4};
  EXPECT_TRUE(contains(report_table(report),
                       "312.50 ms for the guest to write less: a stop of 41.20 ms became one of "
                       "3.40 ms, by prediction"))
      << report_table(report);
}

std::string bar(const migration::MigrationReport& report, std::size_t columns) {
  return progress_bar(report, columns);
}

TEST(ReportView, TheBarShowsTheProgressAndNeverMoreThanIsDone) {
  EXPECT_TRUE(contains(bar(example(), 200), "[==============              ]  50 % round 2"))
      << bar(example(), 200);
  migration::MigrationReport report = example();
  report.progress = 99.9;
  EXPECT_TRUE(contains(bar(report, 200), " 99 %"));
  report.progress = 250;
  EXPECT_TRUE(contains(bar(report, 200), "] 100 %"));
  report.progress = -3;
  EXPECT_TRUE(contains(bar(report, 200), "  0 %"));
}

TEST(ReportView, TheBarLeavesTheLastColumnFreeHoweverNarrowTheTerminal) {
  migration::MigrationReport report = example();
  for (const char* phase : {"round 2", "", "comparing with the image there", "1234567 missing"}) {
    report.phase = phase;
    for (std::size_t columns = 1; columns < 200; ++columns) {
      EXPECT_LT(bar(report, columns).size(), columns) << phase;
    }
  }
  EXPECT_TRUE(contains(bar(example(), 20), "50 %")) << bar(example(), 20);
  EXPECT_TRUE(contains(bar(example(), 40), "50 % round 2 50.0 MiB sent")) << bar(example(), 40);
  EXPECT_TRUE(contains(bar(example(), 200), "slowed by 40 %"));
}

TEST(ReportView, TheBarTakesATerminalThatDoesNotTellItsWidthForAUsualOne) {
  EXPECT_EQ(bar(example(), 0), bar(example(), 80));
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

TEST(ReportView, TheTableSaysHowFarItIsWhileItGoesOn) {
  migration::MigrationReport report = example();
  EXPECT_FALSE(contains(report_table(report), "phase"));
  report.outcome = migration::Outcome::running;
  report.pages.unpopulated = 0;
  EXPECT_TRUE(contains(report_table(report), "phase         round 2; 50 % done\n"));
  EXPECT_FALSE(contains(report_table(report), "never touched"));
  report.outcome = migration::Outcome::in_doubt;
  report.phase = "link lost";
  EXPECT_TRUE(contains(report_table(report), "phase         link lost; 50 % done\n"));
}

TEST(ReportView, FiguresOfWhatCameToNothingAreNone) {
  migration::MigrationReport report;
  report.outcome = migration::Outcome::failed;
  report.error = "no answer";
  report.total_ms = 12;
  report.wire_bytes = 300;
  report.pages.total = 4096;
  EXPECT_EQ(figures_table(report), "");
  const std::string table = report_table(report);
  EXPECT_TRUE(contains(table, "no answer"));
  EXPECT_FALSE(contains(table, " 0 ")) << table;
  report.pages.raw = 7;
  EXPECT_TRUE(contains(figures_table(report), "7 raw"));
  EXPECT_FALSE(contains(figures_table(report), "no answer"));
  EXPECT_FALSE(contains(figures_table(report), "destination"));
}

TEST(ReportView, TheTableSaysWhyNoImageIsKept) {
  migration::MigrationReport report = example();
  EXPECT_FALSE(contains(report_table(report), "kept image"));
  report.kept_image.error = "the store is full";
  EXPECT_TRUE(contains(report_table(report), "kept image    none: the store is full\n"));
}

nlohmann::json info_of_a_vm() {
  return {{"state", "running"},
          {"owner", "this process runs the VM"},
          {"id", "2f6d"},
          {"name", "demo"},
          {"cpus", 1},
          {"memory", 64 << 20},
          {"pid", 7},
          {"arrival", nullptr},
          {"migration", nullptr}};
}

TEST(ReportView, InfoOfAReceiverTellsWhereItListensAndWhatHasCome) {
  nlohmann::json info = info_of_a_vm();
  info["state"] = "receiving";
  info["listening"] = "tcp:127.0.0.1:7000";
  info["receiving"] = {
      {"phase", "round 2"}, {"round", 2}, {"pages", 1234}, {"wire_bytes", 5 << 20}};
  const std::string table = info_table(info);
  EXPECT_TRUE(contains(table, "listening     on tcp:127.0.0.1:7000\n")) << table;
  EXPECT_TRUE(contains(table, "receiving     round 2; 1,234 pages have landed, 5.0 MiB\n"))
      << table;
}

TEST(ReportView, InfoTellsOfABalloon) {
  nlohmann::json info = info_of_a_vm();
  info["balloon"] = nullptr;
  EXPECT_FALSE(contains(info_table(info), "balloon"));
  info["balloon"] = {{"target", 32 << 20}, {"actual", 20 << 20}};
  const std::string table = info_table(info);
  EXPECT_TRUE(contains(table, "balloon       20.0 MiB of 32.0 MiB that the guest is asked for\n"))
      << table;
}

TEST(ReportView, InfoTellsOfWhatTheDevicesHaveOfTheHost) {
  nlohmann::json info = info_of_a_vm();
  info["devices"] = {{{"id", "disk0"}, {"about", "disk 'root.img', 64 MiB"}}};
  const std::string table = info_table(info);
  EXPECT_TRUE(contains(table, "disk0         disk 'root.img', 64 MiB\n")) << table;
}

TEST(ReportView, InfoTellsOfALinkThatIsLost) {
  nlohmann::json info = info_of_a_vm();
  info["arrival"] = {{"missing", 5},
                     {"link_lost", true},
                     {"faults", {{"count", 0}, {"p50_us", 0.0}, {"p99_us", 0.0}}}};
  const std::string table = info_table(info);
  EXPECT_TRUE(contains(table, "arrival       5 pages missing; no faults\n")) << table;
  EXPECT_TRUE(contains(table, "link          lost")) << table;
}

TEST(ReportView, InfoTellsHowTheVmCame) {
  nlohmann::json info = info_of_a_vm();
  info["arrived_by"] = migration::to_json(example());
  const std::string table = info_table(info);
  EXPECT_TRUE(contains(table, "arrived by pre-copy over tcp:\n")) << table;
  EXPECT_TRUE(contains(table, "40,000 raw")) << table;
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
