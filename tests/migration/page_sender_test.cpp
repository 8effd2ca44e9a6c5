#include "migration/pages/page_sender.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "migration/pages/page_receiver.hpp"
#include "migration/pages/ram_sink.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kBytesHere = 16U << 20;
constexpr std::uint64_t kPagesHere = kBytesHere / vmm::kPageSize;

/// Some channels from one RAM to another. The receivers check by its digest whatever refers to what
/// is there already, so a page that is sent before what it refers to ends the test.
class Channels {
 public:
  Channels(vmm::GuestMemory& from, vmm::GuestMemory& to, unsigned channels, bool as_needed = false)
      : active_(as_needed ? ActiveChannels::as_needed(channels) : ActiveChannels::all(channels)),
        target_(to),
        shared_{
            from, limiter_, counters_, Compression::automatic, active_, std::chrono::seconds(20)} {
    shared_.sent = &sent_;
    shared_.deltas = &deltas_;
    shared_.duplicates = true;
    for (unsigned i = 0; i < channels; ++i) {
      std::array<int, 2> ends{};
      if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0)
        throw std::runtime_error("no socket pair");
      senders_.push_back(std::make_unique<PageSender>(i, socket(ends[1]), wire::Bytes(1), shared_,
                                                      [this](std::exception_ptr failure) {
                                                        if (failure) done(std::move(failure));
                                                      }));
      std::byte greeting{};
      if (::recv(ends[0], &greeting, 1, 0) != 1) throw std::runtime_error("no greeting");
      receivers_.push_back(std::make_unique<PageReceiver>(
          socket(ends[0]), target_, std::make_unique<RamSink>(target_),
          [this](std::uint32_t, std::exception_ptr failure) { done(std::move(failure)); }));
    }
  }
  ~Channels() { receivers_.clear(); }

  /// Sends a round, and waits until it has landed.
  void send(std::shared_ptr<Round> round) {
    {
      const std::lock_guard lock(mutex_);
      landed_ = 0;
    }
    for (const auto& sender : senders_) sender->start(round);
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20),
                           [this] { return failure_ || landed_ == receivers_.size(); })) {
      throw std::runtime_error("the round does not land");
    }
    if (failure_) std::rethrow_exception(failure_);
    target_.in_round = 0;
  }

  [[nodiscard]] const PageCounters& counters() const { return counters_; }

 private:
  net::Socket socket(int end) {
    return {context_, net::asio::generic::stream_protocol(AF_UNIX, 0), end};
  }
  void done(std::exception_ptr failure) {
    {
      const std::lock_guard lock(mutex_);
      ++landed_;
      if (failure && !failure_) failure_ = std::move(failure);
    }
    changed_.notify_all();
  }

  boost::asio::io_context context_;
  /// Slow enough that whatever saves bytes pays.
  RateLimiter limiter_{200'000'000};
  PageCounters counters_;
  ActiveChannels active_;
  SentRounds sent_{kPagesHere};
  DeltaCache deltas_{kBytesHere / 2};
  PageTarget target_;
  PageSender::Shared shared_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t landed_ = 0;
  std::exception_ptr failure_;
  std::vector<std::unique_ptr<PageReceiver>> receivers_;
  std::vector<std::unique_ptr<PageSender>> senders_;
};

class SendingLess : public testing::Test {
 protected:
  std::span<std::byte> page(vmm::PageIndex index) { return from_.pages({index, 1}); }
  /// Of few contents there are many copies.
  void fill(vmm::PageIndex index, unsigned content) {
    std::mt19937 random{content};
    for (std::byte& byte : page(index)) byte = static_cast<std::byte>(random());
  }
  void send(Channels& channels, std::initializer_list<vmm::PageIndex> pages) {
    vmm::PageSet set(kPagesHere);
    for (const vmm::PageIndex index : pages) set.set(index);
    send(channels, std::move(set));
  }
  void send(Channels& channels, vmm::PageSet pages) {
    channels.send(std::make_shared<PreCopyRound>(++round_, from_, nullptr, std::move(pages)));
  }
  void expect_equal() {
    const auto from = std::as_const(from_).pages({0, kPagesHere});
    const auto to = std::as_const(to_).pages({0, kPagesHere});
    EXPECT_EQ(std::memcmp(from.data(), to.data(), from.size()), 0);
  }

  vmm::GuestMemory from_{kBytesHere, vmm::Backing::anonymous},
      to_{kBytesHere, vmm::Backing::anonymous};
  std::uint32_t round_ = 0;
};

TEST_F(SendingLess, ArrivesOverChannelsOfWhichNotAllAreNeeded) {
  Channels channels(from_, to_, 3, true);
  for (const unsigned content : {1U, 2U}) {
    fill(7, content);
    send(channels, {7});
  }
  EXPECT_EQ(channels.counters().pages(), 2U);
  expect_equal();
}

TEST_F(SendingLess, ACopyGoesAsAReferenceToAPageBeforeIt) {
  Channels channels(from_, to_, 1);
  fill(7, 1);
  fill(9, 1);
  send(channels, {7, 9});
  EXPECT_EQ(channels.counters().same, 1U);
  EXPECT_EQ(channels.counters().raw, 1U);
  expect_equal();
}

TEST_F(SendingLess, ACopyGoesAsAReferenceToAPageOfAnEarlierRound) {
  Channels channels(from_, to_, 1);
  fill(9, 1);
  send(channels, {9});
  fill(7, 1);
  send(channels, {7});
  EXPECT_EQ(channels.counters().same, 1U);
  expect_equal();
}

/// Its new content may come before the reference does.
TEST_F(SendingLess, NothingRefersToAPageThatGoesInTheSameRoundLater) {
  Channels channels(from_, to_, 1);
  fill(9, 1);
  send(channels, {9});
  fill(7, 1);
  fill(9, 2);
  send(channels, {7, 9});
  EXPECT_EQ(channels.counters().same, 0U);
  expect_equal();
}

TEST_F(SendingLess, NothingRefersToAPageThatHasChangedSince) {
  Channels channels(from_, to_, 1);
  fill(9, 1);
  send(channels, {9});
  std::ranges::fill(page(9), std::byte{0});
  send(channels, {9});
  fill(7, 1);
  send(channels, {7});
  EXPECT_EQ(channels.counters().same, 0U);
  expect_equal();
}

TEST_F(SendingLess, APageThatRepeatsAWordCostsAFewBytes) {
  Channels channels(from_, to_, 1);
  for (vmm::PageIndex index = 0; index < 100; ++index) {
    std::ranges::fill(page(index), static_cast<std::byte>(index < 50 ? 'a' : 'b'));
  }
  vmm::PageSet pages(kPagesHere);
  pages.set({0, 100});
  send(channels, std::move(pages));
  EXPECT_EQ(channels.counters().compressed, 100U);
  EXPECT_LT(channels.counters().wire_bytes, 100U);
  expect_equal();
}

TEST_F(SendingLess, APageThatIsSentAThirdTimeGoesAsItsDifference) {
  Channels channels(from_, to_, 1);
  fill(7, 1);
  send(channels, {7});
  for (int i = 0; i < 3; ++i) {
    page(7)[1000] ^= std::byte{1};
    send(channels, {7});
  }
  // The first round keeps no base: most of its pages are never sent again.
  EXPECT_EQ(channels.counters().delta, 2U);
  EXPECT_GT(channels.counters().delta_saved, 2 * 3900U);
  expect_equal();
}

TEST_F(SendingLess, NoDifferenceIsMadeFromAPageThatWentOtherwiseSince) {
  Channels channels(from_, to_, 1);
  fill(7, 1);
  send(channels, {7});
  send(channels, {7});
  std::ranges::fill(page(7), std::byte{0});
  send(channels, {7});
  fill(7, 1);
  send(channels, {7});
  EXPECT_EQ(channels.counters().delta, 0U);
  expect_equal();
}

/// Pages with few contents, changed a little or wholly or to zero between rounds.
class SendingEverything : public SendingLess, public testing::WithParamInterface<unsigned> {};

TEST_P(SendingEverything, LeavesRamAsItIs) {
  const unsigned count = GetParam();
  Channels channels(from_, to_, count);
  std::mt19937 random{count};
  for (int round = 0; round < 12; ++round) {
    vmm::PageSet pages(kPagesHere);
    for (vmm::PageIndex index = 0; index < kPagesHere; ++index) {
      // A stretch of pages that change often, and others that seldom do.
      if (round > 0 && random() % (index % 4096 < 512 ? 2 : 32) != 0) continue;
      pages.set(index);
      const auto how = random() % 8;
      if (how == 0) {
        std::ranges::fill(page(index), static_cast<std::byte>(random() % 3));
      } else if (how < 4) {
        fill(index, static_cast<unsigned>(random() % 500));
      } else {
        page(index)[random() % vmm::kPageSize] ^= std::byte{1};
      }
    }
    send(channels, std::move(pages));
  }
  EXPECT_GT(channels.counters().same, 100U);
  EXPECT_GT(channels.counters().delta, 100U);
  expect_equal();
}

INSTANTIATE_TEST_SUITE_P(OverChannels, SendingEverything, testing::Values(1U, 3U));

}  // namespace
}  // namespace migration
