#include "migration/reuse/copy_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace migration {
namespace {

using Copies = std::vector<Copy>;
using Pages = std::vector<vmm::PageIndex>;

constexpr std::uint64_t kPlanPages = 256;

/// Makes the plan's copies in RAM whose page i has the content i; each of `wanted` has to be right
/// then, or left out.
void expect_right(const Copies& wanted, const CopyPlan& plan) {
  std::vector<vmm::PageIndex> ram(kPlanPages);
  std::iota(ram.begin(), ram.end(), vmm::PageIndex{0});
  std::vector<vmm::PageIndex> expected = ram;
  const std::set<vmm::PageIndex> left_out(plan.left_out.begin(), plan.left_out.end());
  EXPECT_EQ(left_out.size(), plan.left_out.size());
  for (const Copy& copy : wanted) {
    if (!left_out.contains(copy.to)) expected[copy.to] = copy.from;
  }
  std::uint64_t copied = 0;
  for (const Copy& copy : plan.copies) {
    ASSERT_TRUE(copy.to + copy.count <= copy.from || copy.from + copy.count <= copy.to);
    std::copy_n(ram.begin() + static_cast<std::ptrdiff_t>(copy.from), copy.count,
                ram.begin() + static_cast<std::ptrdiff_t>(copy.to));
    copied += copy.count;
  }
  EXPECT_EQ(ram, expected);
  EXPECT_EQ(copied + plan.left_out.size(), wanted.size());
}

CopyPlan plan_of(const Copies& wanted) {
  CopyPlan plan = plan_copies(wanted);
  expect_right(wanted, plan);
  return plan;
}

/// `count` copies of single pages.
Copies block(vmm::PageIndex to, vmm::PageIndex from, std::uint64_t count) {
  Copies copies;
  for (std::uint64_t i = 0; i < count; ++i) copies.push_back({to + i, from + i, 1});
  return copies;
}

Copies operator+(Copies left, const Copies& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(CopyPlan, OfNothingIsEmpty) {
  const CopyPlan plan = plan_of({});
  EXPECT_TRUE(plan.copies.empty());
  EXPECT_TRUE(plan.left_out.empty());
}

TEST(CopyPlan, JoinsNeighboursWhateverTheOrderTheyComeIn) {
  Copies wanted = block(100, 10, 50) + block(200, 60, 20);
  std::ranges::reverse(wanted);
  EXPECT_EQ(plan_of(wanted).copies, (Copies{{100, 10, 50}, {200, 60, 20}}));
}

TEST(CopyPlan, CopiesOnePageToMany) {
  EXPECT_EQ(plan_of({{1, 9, 1}, {2, 9, 1}, {7, 9, 1}}).copies,
            (Copies{{1, 9, 1}, {2, 9, 1}, {7, 9, 1}}));
}

TEST(CopyPlan, ReadsAPageBeforeItIsOverwritten) {
  // 1 from 2, 2 from 3, 3 from 4; and twice the other way round.
  EXPECT_EQ(plan_of({{1, 2, 1}, {2, 3, 1}, {3, 4, 1}}).copies,
            (Copies{{1, 2, 1}, {2, 3, 1}, {3, 4, 1}}));
  EXPECT_EQ(plan_of({{4, 3, 1}, {3, 2, 1}, {2, 1, 1}}).copies,
            (Copies{{4, 3, 1}, {3, 2, 1}, {2, 1, 1}}));
  // All readers have to be done, not one of them.
  const Copies readers = plan_of({{1, 50, 1}, {50, 60, 1}, {99, 50, 1}}).copies;
  EXPECT_EQ(readers, (Copies{{1, 50, 1}, {99, 50, 1}, {50, 60, 1}}));
}

TEST(CopyPlan, MovesBlocksInAChainByWholeBlocks) {
  EXPECT_EQ(plan_of(block(0, 50, 50) + block(50, 100, 50) + block(100, 150, 50)).copies,
            (Copies{{0, 50, 50}, {50, 100, 50}, {100, 150, 50}}));
}

TEST(CopyPlan, ShiftsABlockInStepsThatDoNotOverlap) {
  EXPECT_EQ(plan_of(block(16, 0, 64)).copies,
            (Copies{{64, 48, 16}, {48, 32, 16}, {32, 16, 16}, {16, 0, 16}}));
  EXPECT_EQ(plan_of(block(0, 16, 64)).copies,
            (Copies{{0, 16, 16}, {16, 32, 16}, {32, 48, 16}, {48, 64, 16}}));
  EXPECT_EQ(plan_of(block(1, 0, 5)).copies.size(), 5U);
}

TEST(CopyPlan, LeavesOnePageOfEachCycleOut) {
  EXPECT_EQ(plan_of({{1, 2, 1}, {2, 1, 1}}).left_out.size(), 1U);
  const CopyPlan ring = plan_of({{1, 2, 1}, {2, 3, 1}, {3, 4, 1}, {4, 1, 1}});
  EXPECT_EQ(ring.left_out, (Pages{1}));
  // Two blocks that change places are as many cycles as pages.
  EXPECT_EQ(plan_of(block(0, 64, 64) + block(64, 0, 64)).left_out.size(), 64U);
}

TEST(CopyPlan, CopiesWhatHangsOnACycle) {
  // 1 and 2 change places; 10 and 11 read from them, 20 from 10.
  const CopyPlan plan = plan_of({{1, 2, 1}, {2, 1, 1}, {10, 1, 1}, {11, 2, 1}, {20, 10, 1}});
  EXPECT_EQ(plan.left_out.size(), 1U);
}

TEST(CopyPlan, IsRightForAnyMap) {
  std::mt19937_64 random(1);
  for (int run = 0; run < 500; ++run) {
    // From all pages alike, to few sources, or in runs with the same distance.
    const std::uint64_t sources = run % 2 == 0 ? kPlanPages : 1 + random() % 40;
    const std::uint64_t length = run % 3 == 0 ? 1 : 1 + random() % 20;
    Copies wanted;
    vmm::PageIndex from = 0;
    for (vmm::PageIndex to = 0; to < kPlanPages; ++to) {
      from = to % length == 0 ? random() % sources : (from + 1) % kPlanPages;
      if (from != to && random() % 8 != 0) wanted.push_back({to, from, 1});
    }
    std::ranges::shuffle(wanted, random);
    plan_of(wanted);
  }
}

TEST(CopyPlan, LeavesAsManyOutOfAPermutationAsItHasCycles) {
  std::mt19937_64 random(2);
  for (int run = 0; run < 100; ++run) {
    Pages from(kPlanPages);
    std::iota(from.begin(), from.end(), vmm::PageIndex{0});
    std::ranges::shuffle(from, random);
    Copies wanted;
    for (vmm::PageIndex to = 0; to < kPlanPages; ++to) {
      if (from[to] != to) wanted.push_back({to, from[to], 1});
    }
    std::size_t cycles = 0;
    std::vector<bool> seen(kPlanPages);
    for (vmm::PageIndex start = 0; start < kPlanPages; ++start) {
      if (from[start] != start && !seen[start]) ++cycles;
      for (vmm::PageIndex page = start; !seen[page]; page = from[page]) seen[page] = true;
    }
    EXPECT_EQ(plan_of(wanted).left_out.size(), cycles);
  }
}

}  // namespace
}  // namespace migration
