#include "ferry/leaving.hpp"

#include <gtest/gtest.h>

#include <string>

namespace ferry {
namespace {

using migration::MigrationReport;
using migration::Outcome;

constexpr Leaving kUnderWay{Outcome::running, false};
constexpr Leaving kServing{Outcome::running, true};
constexpr Leaving kInDoubt{Outcome::in_doubt, false};
/// The link was lost while the destination lacked pages.
constexpr Leaving kServingNobody{Outcome::in_doubt, true};
constexpr Leaving kMoved{Outcome::completed, false};

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(AVmThatLeaves, HasAStateOfItsOwn) {
  EXPECT_EQ(state_of(kUnderWay), "migrating");
  EXPECT_EQ(state_of(kServing), "migrating");
  EXPECT_EQ(state_of(kInDoubt), "in-doubt");
  EXPECT_EQ(state_of(kServingNobody), "in-doubt");
  EXPECT_EQ(state_of(kMoved), "gone");
}

TEST(AVmThatLeaves, IsNotPausedAndTheRefusalSaysWhatHelps) {
  EXPECT_TRUE(says(why_not("pause", kUnderWay), "cannot pause while the VM is being migrated"));
  EXPECT_TRUE(says(why_not("pause", kUnderWay), "'ferry cancel'"));
  EXPECT_TRUE(says(why_not("pause", kServing), "cannot pause: the VM is elsewhere"));
  EXPECT_FALSE(says(why_not("pause", kServing), "'ferry cancel'"));
  for (const Leaving& vm : {kInDoubt, kServingNobody}) {
    EXPECT_TRUE(says(why_not("resume", vm), "cannot resume: who runs the VM is in doubt"));
    EXPECT_TRUE(says(why_not("resume", vm), "'ferry resume --force'"));
  }
}

TEST(AVmThatLeaves, IsNotStoppedOnceItIsHandedOver) {
  EXPECT_TRUE(says(why_no_stop(kUnderWay), "is just being handed over"));
  EXPECT_TRUE(says(why_no_stop(kServing), "ends by itself"));
}

TEST(AProcessWhoseVmLeaves, EndsWhenThatHarmsNoVm) {
  EXPECT_EQ(end_of(kUnderWay, false), EndOfLeaving::cancelled);
  EXPECT_EQ(end_of(kServing, false), EndOfLeaving::pages_have_gone);
  EXPECT_EQ(end_of(kServingNobody, false), EndOfLeaving::pages_have_gone);
  EXPECT_EQ(end_of(kMoved, false), EndOfLeaving::image_is_kept);
}

TEST(AProcessWhoseVmLeaves, WaitsForNothingWhileNobodyKnowsWhoHasTheVm) {
  EXPECT_EQ(end_of(kInDoubt, false), EndOfLeaving::now);
}

TEST(AProcessWhoseVmLeaves, EndsAtOnceWhenAskedAgain) {
  for (const Leaving& vm : {kUnderWay, kServing, kInDoubt, kServingNobody, kMoved}) {
    EXPECT_EQ(end_of(vm, true), EndOfLeaving::now);
  }
}

TEST(AProcessWhoseVmLeaves, SaysWhatItWaitsForAndWhatASecondSignalDoes) {
  const std::string cancels = what_end_waits_for(EndOfLeaving::cancelled, true);
  EXPECT_TRUE(says(cancels, "cancels the migration"));
  EXPECT_TRUE(says(cancels, "Another signal or Ctrl-A X does not wait for the other side"));
  const std::string too_late = what_end_waits_for(EndOfLeaving::cancelled, false);
  EXPECT_TRUE(says(too_late, "is being handed over"));
  EXPECT_TRUE(says(too_late, "may end the VM"));
  const std::string serves = what_end_waits_for(EndOfLeaving::pages_have_gone, false);
  EXPECT_TRUE(says(serves, "ends it now, and with it that VM"));
  const std::string keeps = what_end_waits_for(EndOfLeaving::image_is_kept, false);
  EXPECT_TRUE(says(keeps, "once its image is kept or given up"));
}

TEST(TheReportOfASuddenEnd, SaysWhatBecomesOfTheVm) {
  MigrationReport report;
  report.wire_bytes = 5;
  const auto cancelled = report_of_sudden_end(report, false, true);
  EXPECT_EQ(cancelled.outcome, Outcome::failed);
  EXPECT_TRUE(says(cancelled.owner, "the VM has ended with this process"));
  const auto handed_over = report_of_sudden_end(report, false, false);
  EXPECT_EQ(handed_over.outcome, Outcome::in_doubt);
  EXPECT_TRUE(says(handed_over.owner, "unless the VM runs at the other side, it is lost"));
  const auto serving = report_of_sudden_end(report, true, false);
  EXPECT_EQ(serving.outcome, Outcome::in_doubt);
  EXPECT_TRUE(says(serving.owner, "lacks pages that were here alone: it is lost"));
  for (const MigrationReport& last : {cancelled, handed_over, serving}) {
    EXPECT_EQ(last.error, "the process that had the VM was made to end");
    EXPECT_EQ(last.wire_bytes, report.wire_bytes);
  }
}

}  // namespace
}  // namespace ferry
