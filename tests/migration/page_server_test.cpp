#include <gtest/gtest.h>
#include <lz4.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>
#include <utility>

#include "tests/migration/page_server_fixture.hpp"

namespace migration {
namespace {

TEST_F(PageServing, HandsEachMissingPageToOneOfSeveralChannels) {
  make({{0, memory_.page_count()}});
  const auto round = server_->round(4);
  EXPECT_EQ(round->number(), 4U);
  EXPECT_TRUE(round->urgent());
  EXPECT_FALSE(round->digests());
  std::vector<Given> given(4);
  std::vector<std::thread> channels;
  channels.reserve(given.size());
  for (Given& mine : given) channels.emplace_back([&] { mine = drain(*round); });
  for (std::thread& channel : channels) channel.join();
  PageList data, absent;
  for (const Given& mine : given) {
    data.insert(data.end(), mine.data.begin(), mine.data.end());
    absent.insert(absent.end(), mine.absent.begin(), mine.absent.end());
  }
  // Who pushes while another still looks for untouched pages may meet some of them: no harm.
  EXPECT_TRUE(std::ranges::all_of(absent, [](auto page) { return page >= kTouched; }));
  EXPECT_EQ(data.size() + absent.size(), memory_.page_count());
  std::set<vmm::PageIndex> all(data.begin(), data.end());
  all.insert(absent.begin(), absent.end());
  EXPECT_EQ(all.size(), memory_.page_count());
  EXPECT_EQ(server_->counts().pushed, data.size());
}

TEST_F(PageServing, TellsOfPagesThatWereNeverTouchedAndTouchesNone) {
  make({{0, memory_.page_count()}});
  const Given given = drain(*server_->round(1));
  EXPECT_EQ(given.data.size(), kTouched);
  EXPECT_TRUE(std::ranges::all_of(given.absent, [](auto page) { return page >= kTouched; }));
  EXPECT_EQ(given.absent.size(), memory_.page_count() - kTouched);
  vmm::PageSet populated(memory_.page_count());
  memory_.add_populated({0, memory_.page_count()}, populated);
  EXPECT_EQ(populated.count(), kTouched);
}

TEST_F(PageServing, HandsOutNothingThatTheDestinationHas) {
  make({{10, 5}, {998, 4}});
  const Given given = drain(*server_->round(1));
  EXPECT_EQ(given.data, (PageList{10, 11, 12, 13, 14, 998, 999}));
  EXPECT_EQ(given.absent, (PageList{1000, 1001}));
}

TEST_F(PageServing, ARequestedPageIsAnsweredAndLeavesTheRounds) {
  make({{0, 20}});
  connect();
  peer_->request(9);
  const wire::SinglePage page = answer();
  EXPECT_EQ(page.page, 9U);
  EXPECT_EQ(page.encoding, PageEncoding::raw);
  EXPECT_TRUE(std::ranges::equal(page.data, memory_.pages({9, 1})));
  const Given given = drain(*server_->round(1));
  EXPECT_EQ(given.data.size(), 19U);
  EXPECT_FALSE(std::ranges::count(given.data, 9U) != 0);
}

TEST_F(PageServing, APageThatIsOnItsWayIsNotSentAgain) {
  make({{0, 20}});
  connect();
  for (const vmm::PageIndex page : {3U, 3U, 500U, 4U}) peer_->request(page);
  EXPECT_EQ(answer().page, 3U);
  EXPECT_EQ(answer().page, 4U);  // 500 is at the destination
  const PageServer::Counts counts = server_->counts();
  EXPECT_EQ(counts.demand, 2U);
  EXPECT_EQ(counts.pushed, 0U);
}

TEST_F(PageServing, AnswersAsThePageIsAndAsTheDestinationWantsIt) {
  memory_.pages({1, 1})[1] = std::byte{0};  // page 1 is zero again
  make({{0, 20}}, Prepaging::linear, true);
  EXPECT_TRUE(server_->round(1)->digests());
  connect();
  peer_->request(1);
  EXPECT_EQ(answer().encoding, PageEncoding::zero);
  peer_->request(2, true);
  const wire::SinglePage page = answer();
  EXPECT_EQ(page.encoding, PageEncoding::lz4);
  EXPECT_EQ(page.digest, digest_of(memory_.pages({2, 1})));
  std::vector<char> unpacked(vmm::kPageSize);
  EXPECT_EQ(LZ4_decompress_safe(reinterpret_cast<const char*>(page.data.data()), unpacked.data(),
                                static_cast<int>(page.data.size()), vmm::kPageSize),
            static_cast<int>(vmm::kPageSize));
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(unpacked)), memory_.pages({2, 1})));
  EXPECT_EQ(counters_.zero, 1U);
  EXPECT_EQ(counters_.compressed, 1U);
  EXPECT_EQ(counters_.raw, 0U);
}

TEST_F(PageServing, CompressesAnswersAlwaysOrNeverWhereThatWasAskedFor) {
  for (const auto& [compression, encoding] :
       std::array{std::pair{Compression::lz4, PageEncoding::lz4},
                  std::pair{Compression::none, PageEncoding::raw}}) {
    server_ = nullptr;
    shared_.compression = compression;
    make({{0, 20}});
    connect();
    peer_->request(2, compression == Compression::none);
    EXPECT_EQ(answer().encoding, encoding);
  }
}

TEST_F(PageServing, CountsItsBytes) {
  make({{0, 20}});
  connect();
  peer_->request(0);
  answer();
  server_->hang_up();
  EXPECT_EQ(server_->bytes_received(), wire::kHeaderBytes + 8);
  EXPECT_EQ(server_->bytes_sent(), wire::kHeaderBytes + 16 + vmm::kPageSize);
}

TEST_F(PageServing, PushesFromWhereTheGuestFaultsOn) {
  make({{0, memory_.page_count()}}, Prepaging::bubbling);
  connect();
  const auto round = server_->round(1);
  while (round->next_chunk().value().data.empty()) continue;  // those that were never touched
  // With the second answer here, what follows the first is done.
  for (const vmm::PageIndex page : PageList{700, 705}) {
    peer_->request(page);
    EXPECT_EQ(answer().page, page);
  }
  const Chunk chunk = round->next_chunk().value();
  ASSERT_FALSE(chunk.data.empty());
  EXPECT_NEAR(static_cast<double>(chunk.data.front().first), 700, 64);
}

TEST_F(PageServing, WhoPushesLeavesTheProcessorOfFaultsWhileTheyAreMany) {
  const int before = processors();
  if (before < 2) GTEST_SKIP() << "there is one processor";
  limiter_.set_rate(1);  // the smallest chunks: something is left for each try
  make({{0, memory_.page_count()}});
  connect();
  const auto round = server_->round(1);
  std::thread channel([&] {
    ASSERT_TRUE(round->next_chunk());
    ASSERT_EQ(processors(), before);
    // Now and then a busy machine takes longer than a moment for them.
    vmm::PageIndex page = kTouched - 1;
    for (int tries = 0; tries < 30 && processors() == before; ++tries) {
      for (std::uint64_t i = 0; i < 4 * FaultWatch::kMany; ++i) peer_->request(page);
      ASSERT_EQ(answer().page, page--);  // the first is answered, the others are served
      peer_->request(page);
      ASSERT_EQ(answer().page, page--);
      ASSERT_TRUE(round->next_chunk());
    }
    EXPECT_EQ(processors(), before - 1);
    // A moment ends by the clock alone.
    const auto deadline = FaultWatch::Clock::now() + kPeerDeadline;
    while (processors() < before && FaultWatch::Clock::now() < deadline) {
      static_cast<void>(round->next_chunk());
    }
    EXPECT_EQ(processors(), before);
  });
  channel.join();
}

TEST_F(PageServing, SendsPagesAtOnceThatTheDestinationLacks) {
  memory_.pages({1, 1})[1] = std::byte{0};  // page 1 is zero again
  make({{0, 20}});
  connect();
  const PageList pages = {5, 700, 1, 6, 5};
  server_->send_now(pages);
  wire::SinglePage page = answer(wire::FrameType::early);
  EXPECT_EQ(page.page, 5U);
  EXPECT_TRUE(std::ranges::equal(page.data, memory_.pages({5, 1})));
  page = answer(wire::FrameType::early);
  EXPECT_EQ(page.page, 1U);
  EXPECT_EQ(page.encoding, PageEncoding::zero);
  page = answer(wire::FrameType::early);
  EXPECT_EQ(page.page, 6U);
  EXPECT_TRUE(std::ranges::equal(page.data, memory_.pages({6, 1})));
  EXPECT_EQ(server_->counts().pushed, 3U);
  EXPECT_EQ(server_->counts().demand, 0U);
  EXPECT_EQ(drain(*server_->round(1)).data.size(), 17U);
}

}  // namespace
}  // namespace migration
