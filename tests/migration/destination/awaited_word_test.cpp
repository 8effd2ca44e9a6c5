#include "migration/destination/awaited_word.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "migration/destination/farewell.hpp"

namespace migration::destination {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kDeadline{10};

class AwaitedWordTest : public ::testing::Test {
 protected:
  boost::asio::io_context context_;
  bool awaited_ = true;
  int asked_ = 0;
  int overdue_ = 0;
  AwaitedWord word_{context_,
                    {.awaited =
                         [this] {
                           ++asked_;
                           return awaited_;
                         },
                     .overdue = [this] { ++overdue_; }}};
};

TEST_F(AwaitedWordTest, IsOverdueOnceAfterItsTime) {
  word_.await(milliseconds(60), milliseconds(40));
  EXPECT_EQ(overdue_, 0);
  context_.run_for(kDeadline);  // returns when nothing is left to do
  EXPECT_EQ(overdue_, 1);
  EXPECT_GT(asked_, 1);
}

TEST_F(AwaitedWordTest, IsNotOverdueOnceItHasCome) {
  word_.await(milliseconds(60), milliseconds(40));
  awaited_ = false;
  context_.run_for(kDeadline);
  EXPECT_EQ(overdue_, 0);
  EXPECT_EQ(asked_, 1);
}

TEST_F(AwaitedWordTest, FindsEachStandstillOnce) {
  EXPECT_FALSE(word_.stood_still());  // nothing is awaited
  word_.await(kDeadline, milliseconds(50));
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_TRUE(word_.stood_still());
  EXPECT_FALSE(word_.stood_still());
}

TEST(Farewell, TellsWhenItsTimeIsOver) {
  boost::asio::io_context context;
  Farewell farewell(context);
  int over = 0;
  farewell.stay(milliseconds(5), [&] { ++over; });
  context.run_for(kDeadline);
  EXPECT_EQ(over, 1);
}

TEST(Farewell, TellsWhoeverWaitsAndWhoeverComesLate) {
  boost::asio::io_context context;
  Farewell farewell(context);
  int told = 0;
  farewell.stay(kDeadline, [&] { ADD_FAILURE() << "it has ended before"; });
  farewell.when_done([&] { ++told; });
  EXPECT_EQ(told, 0);
  farewell.finish();
  EXPECT_EQ(told, 1);
  farewell.when_done([&] { ++told; });
  EXPECT_EQ(told, 2);
  context.run_for(kDeadline);
}

}  // namespace
}  // namespace migration::destination
