#include "migration/policy/page_account.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

constexpr std::uint64_t kAllPages = 128;

vmm::PageSet pages(vmm::PageRange range) {
  vmm::PageSet set(kAllPages);
  set.set(range);
  return set;
}

TEST(PageAccount, HasAsFreeWhatWasLeftOutAndNeverSent) {
  PageAccount account(kAllPages);
  account.handed_out(pages({0, 10}));
  account.left_out(pages({10, 20}));
  EXPECT_EQ(account.free(), pages({10, 20}));
  EXPECT_FALSE(account.selective());
  account.handed_out(pages({10, 5}));  // it was written
  EXPECT_EQ(account.free(), pages({15, 15}));
  account.missing(pages({15, 5}));  // at the handover
  EXPECT_EQ(account.free(), pages({20, 10}));
  EXPECT_EQ(account.travelling(), 15U);
}

TEST(PageAccount, SendsNothingOfWhatIsFreeFromTheStart) {
  PageAccount account(kAllPages);
  account.without(pages({64, 64}), pages({0, 32}));
  EXPECT_TRUE(account.selective());
  EXPECT_FALSE(account.compared());
  EXPECT_EQ(account.free(), pages({64, 64}));
  EXPECT_EQ(account.take_to_send(pages({127, 1})).count(), 33U);
  account.missing(pages({127, 1}));
  EXPECT_EQ(account.free(), pages({64, 63}));
}

}  // namespace
}  // namespace migration
