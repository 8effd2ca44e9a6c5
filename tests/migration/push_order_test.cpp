#include "migration/policy/push_order.hpp"

#include <gtest/gtest.h>

#include <random>

namespace migration {
namespace {

using vmm::PageIndex;
using vmm::PageRange;
using Ranges = std::vector<PageRange>;

/// The source's side: pages that were asked for or pushed are taken.
class Source {
 public:
  Source(Prepaging prepaging, std::uint64_t pages)
      : unsent_(pages, true), order_(prepaging, pages) {}

  void sent(PageRange range) { unsent_.extract(range, taken_); }
  void fault(PageIndex page) {
    unsent_.test_and_clear(page);
    order_.faulted(page);
  }
  /// The next `times` ranges, fewer when there are no more.
  Ranges push(std::size_t times, std::uint64_t chunk = 16) {
    Ranges result;
    while (result.size() < times) {
      const auto range = order_.next(unsent_, chunk);
      if (!range) break;
      result.push_back(*range);
      sent(*range);
    }
    return result;
  }
  PushOrder& order() { return order_; }
  [[nodiscard]] const vmm::AtomicPageSet& unsent() const { return unsent_; }

 private:
  vmm::AtomicPageSet unsent_;
  PushOrder order_;
  Ranges taken_;
};

TEST(PushOrder, PushesNothingWithoutPrepaging) {
  Source source(Prepaging::none, 100);
  source.fault(50);
  EXPECT_EQ(source.push(1), Ranges{});
}

TEST(PushOrder, GoesOnceThroughRamInLinearOrderWhateverFaults) {
  Source source(Prepaging::linear, 72);
  EXPECT_EQ(source.push(2), (Ranges{{0, 16}, {16, 16}}));
  source.fault(70);
  EXPECT_EQ(source.push(9), (Ranges{{32, 16}, {48, 16}, {64, 8}}));
  EXPECT_EQ(source.unsent().count(), 0U);
}

TEST(PushOrder, SkipsWhatHasBeenSent) {
  Source source(Prepaging::linear, 128);
  source.sent({0, 20});
  source.sent({32, 64});
  EXPECT_EQ(source.push(9), (Ranges{{20, 12}, {96, 16}, {112, 16}}));
}

TEST(PushOrder, ComesBackForPagesThatAreUnsentAgain) {
  vmm::AtomicPageSet unsent(64);
  PushOrder order(Prepaging::linear, 64);
  unsent.put(40);
  EXPECT_EQ(order.next(unsent, 16), (PageRange{40, 8}));
  unsent.test_and_clear(40);
  unsent.put(3);
  EXPECT_EQ(order.next(unsent, 16), (PageRange{3, 13}));
}

TEST(PushOrder, BubblesOutwardsFromAFault) {
  Source source(Prepaging::bubbling, 256);
  source.fault(100);
  EXPECT_EQ(source.push(5), (Ranges{{96, 16}, {112, 16}, {80, 16}, {128, 16}, {64, 16}}));
}

TEST(PushOrder, FollowsAReaderUp) {
  Source source(Prepaging::bubbling, 256);
  source.fault(100);
  source.push(1);
  source.fault(112);
  EXPECT_EQ(source.push(3), (Ranges{{113, 15}, {128, 16}, {144, 16}}));
}

TEST(PushOrder, FollowsAReaderDown) {
  Source source(Prepaging::bubbling, 256);
  source.fault(100);
  source.push(1);
  source.fault(95);
  EXPECT_EQ(source.push(3), (Ranges{{80, 15}, {64, 16}, {48, 16}}));
}

TEST(PushOrder, TakesAFaultOnAPageThatIsOnItsWayForASignOfTheHeading) {
  Source source(Prepaging::bubbling, 256);
  source.fault(100);
  source.push(2);
  source.fault(101);
  EXPECT_EQ(source.push(2), (Ranges{{128, 16}, {144, 16}}));
}

TEST(PushOrder, KeepsAheadOfAReaderWithAStride) {
  Source source(Prepaging::bubbling, 256);
  source.fault(100);
  source.push(1);
  source.fault(130);
  EXPECT_EQ(source.push(2), (Ranges{{131, 13}, {144, 16}}));
}

TEST(PushOrder, ServesTheNewestPivotFirstAndThenAllInTurn) {
  Source source(Prepaging::bubbling, 1024);
  source.fault(100);
  source.push(1);
  source.fault(500);
  EXPECT_EQ(source.push(4), (Ranges{{496, 16}, {112, 16}, {512, 16}, {80, 16}}));
  source.fault(800);
  EXPECT_EQ(source.push(4), (Ranges{{800, 16}, {480, 16}, {128, 16}, {816, 16}}));
}

TEST(PushOrder, ForgetsTheOldestOfManyPivots) {
  Source source(Prepaging::bubbling, 65'536);
  for (PageIndex pivot = 1; pivot <= 17; ++pivot) source.fault(1600 * pivot);
  const Ranges first = source.push(17);
  EXPECT_EQ(first.front(), (PageRange{27'200, 16}));
  EXPECT_EQ(first[15], (PageRange{3200, 16}));
  EXPECT_EQ(first[16], (PageRange{27'216, 16}));
}

TEST(PushOrder, StopsBubblesThatMeetAndGoesOnWithTheRest) {
  Source source(Prepaging::bubbling, 256);
  source.sent({0, 32});
  source.sent({112, 112});
  source.fault(40);
  source.fault(104);
  // 40 and 104 grow towards each other and to what was sent; the rest is far from both.
  EXPECT_EQ(source.push(9),
            (Ranges{{96, 16}, {32, 16}, {80, 16}, {48, 16}, {64, 16}, {224, 16}, {240, 16}}));
}

TEST(PushOrder, PushesNothingBehindTheBackOfAReader) {
  Source source(Prepaging::bubbling, 4096);
  source.sent({1000, 1000});  // read already; what is before has not been sent
  source.fault(2000);
  EXPECT_EQ(source.push(4), (Ranges{{2000, 16}, {2016, 16}, {2032, 16}, {2048, 16}}));
}

TEST(PushOrder, ProposesWholeHugePagesWhereNothingWasSent) {
  Source source(Prepaging::bubbling, 4096);
  source.fault(1100);
  EXPECT_EQ(source.push(3, 512), (Ranges{{1024, 512}, {1536, 512}, {512, 512}}));
}

TEST(PushOrder, ChangesWhileItRuns) {
  Source source(Prepaging::bubbling, 1024);
  source.fault(500);
  source.order().set(Prepaging::none);
  EXPECT_EQ(source.push(1), Ranges{});
  source.order().set(Prepaging::linear);
  EXPECT_EQ(source.push(1), (Ranges{{501, 11}}));
  source.order().set(Prepaging::bubbling);
  EXPECT_EQ(source.push(1), (Ranges{{496, 16}}));
}

TEST(PushOrder, PushesEveryPageWhateverFaultsAndHoweverChunksChange) {
  constexpr std::uint64_t kPages = 10'007;
  std::mt19937_64 random(5);
  for (const Prepaging prepaging : {Prepaging::bubbling, Prepaging::linear}) {
    Source source(prepaging, kPages);
    for (std::uint64_t left = kPages; left > 0;) {
      if (random() % 4 == 0) source.fault(random() % kPages);
      const std::uint64_t chunk = 1 + random() % 100;
      const std::uint64_t before = source.unsent().count();
      const Ranges pushed = source.push(1, chunk);
      left = source.unsent().count();
      ASSERT_EQ(pushed.empty(), before == 0);
      if (pushed.empty()) break;
      ASSERT_LE(pushed[0].count, chunk);
      ASSERT_LE(pushed[0].end(), kPages);
      ASSERT_LT(left, before);
    }
  }
}

}  // namespace
}  // namespace migration
