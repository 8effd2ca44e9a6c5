#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "tests/migration/handover/explore.hpp"
#include "tests/migration/handover/known_faults.hpp"

namespace migration::handover::model {
namespace {

/// scripts/explore-handover looks further.
constexpr std::uint8_t kFaults = 4;
constexpr std::uint8_t kLinks = 3;

void expect_nothing_wrong(const char* mode, const Bounds& bounds) {
  const Exploration found = explore(Tables{}, bounds);
  const std::string size = std::to_string(found.states) + " states, " +
                           std::to_string(found.transitions) + " transitions";
  std::cout << mode << ": " << size << ", with at most " << int{bounds.faults} << " faults and "
            << int{bounds.links} << " connections\n";
  if (found.wrong) FAIL() << found.wrong->what << ":\n" << found.wrong->trace;
  std::ifstream file(HANDOVER_PROTOCOL);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find(size), std::string::npos) << "docs/protocol.md has other numbers";
}

TEST(HandoverSimulation, FindsNothingWrongInPreCopy) {
  expect_nothing_wrong("pre-copy", {kFaults, kLinks, false});
}

TEST(HandoverSimulation, FindsNothingWrongInPostCopy) {
  expect_nothing_wrong("post-copy", {kFaults, kLinks, true});
}

TEST(HandoverSimulation, FindsNothingWrongWithADisk) {
  expect_nothing_wrong("pre-copy with a disk", {kFaults, kLinks, false, true});
  expect_nothing_wrong("post-copy with a disk", {kFaults, kLinks, true, true});
}

/// Who ran the VM and has written nothing yet is not known by the disk.
TEST(HandoverSimulation, ADiskWithoutAMarkDoesNotTellWhoHasRunTheVm) {
  Bounds bounds{3, 2, false, true};
  bounds.unmarked = true;
  const Exploration found = explore(Tables{}, bounds);
  ASSERT_TRUE(found.wrong);
  EXPECT_EQ(found.wrong->what, "the source takes a VM for unused that has run there");
}

/// So that a free lock tells something only where one kernel keeps it.
TEST(HandoverSimulation, ALockThatIsLostTellsNothing) {
  Bounds bounds{3, 2, false, true};
  bounds.lease_ends = bounds.owners_only = true;
  const Exploration found = explore(Tables{}, bounds);
  ASSERT_TRUE(found.wrong);
  EXPECT_EQ(found.wrong->what, "two owners") << found.wrong->trace;
  EXPECT_NE(found.wrong->trace.find("unused there"), std::string::npos) << found.wrong->trace;
}

TEST(HandoverSimulation, FindsEachFaultThatTheProtocolHad) {
  for (const KnownFault& fault : known_faults()) {
    const Exploration found = explore(fault.tables, {3, 2, false});
    ASSERT_TRUE(found.wrong) << fault.name;
    EXPECT_EQ(found.wrong->what, fault.wrong) << fault.name << "\n" << found.wrong->trace;
  }
}

TEST(HandoverSimulation, ShowsWhichOfTheseFaultsMakeTwoOwners) {
  Bounds bounds{3, 2, false};
  bounds.owners_only = true;
  for (const KnownFault& fault : known_faults()) {
    const Exploration found = explore(fault.tables, bounds);
    EXPECT_EQ(found.wrong.has_value(), fault.owners != nullptr) << fault.name;
    if (!found.wrong || fault.owners == nullptr) continue;
    EXPECT_EQ(found.wrong->what, fault.owners) << fault.name << "\n" << found.wrong->trace;
  }
}

/// `running` with no page missing is as easily lost as the first one.
TEST(HandoverSimulation, FindsThatAVmIsPassedOnAtOnceAfterPostCopy) {
  Bounds bounds{3, 2, true};
  bounds.owners_only = true;
  const Exploration found = explore(known_faults().front().tables, bounds);
  ASSERT_TRUE(found.wrong);
  EXPECT_EQ(found.wrong->what, "two owners") << found.wrong->trace;
}

/// What AwakeWatch cannot find: the rules hold for a host whose clock goes on.
TEST(HandoverSimulation, AHostThatIsPausedWithItsClockIsNotToBeTakenForDead) {
  Bounds bounds{3, 2, false};
  bounds.believe_whole_freeze = true;
  const Exploration found = explore(Tables{}, bounds);
  ASSERT_TRUE(found.wrong);
  EXPECT_EQ(found.wrong->what, "two owners");
  EXPECT_NE(found.wrong->trace.find("freezes with its clock"), std::string::npos)
      << found.wrong->trace;
}

/// Nor does it find a stop that is shorter than the timeout.
TEST(HandoverSimulation, AProcessThatWasStoppedForAMomentIsNotToBeTakenForDead) {
  Bounds bounds{3, 2, false};
  bounds.force_at_once = true;
  const Exploration found = explore(Tables{}, bounds);
  ASSERT_TRUE(found.wrong);
  EXPECT_EQ(found.wrong->what, "two owners");
  EXPECT_NE(found.wrong->trace.find("destination freezes"), std::string::npos)
      << found.wrong->trace;
}

}  // namespace
}  // namespace migration::handover::model
