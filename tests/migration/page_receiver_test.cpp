#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "tests/migration/page_receiver_fixture.hpp"

namespace migration {
namespace {

TEST_F(PageReceiving, PutsPagesOfEveryKindInPlace) {
  const Mixture sent;
  EXPECT_EQ(send(sent.bytes), 1U);
  expect_pages(5, Bytes(vmm::kPageSize));
  expect_pages(100, sent.block);
  expect_pages(200, sent.raw);
  expect_pages(1000, {sent.apart.begin(), sent.apart.begin() + 2 * vmm::kPageSize});
  expect_pages(900, {sent.apart.begin() + 2 * vmm::kPageSize, sent.apart.end()});
}

TEST_F(PageReceiving, DoesNotMindInWhichPiecesFramesCome) {
  const Mixture sent;
  EXPECT_EQ(send(sent.bytes, 4097), 1U);
  expect_pages(200, sent.raw);
  expect_pages(100, sent.block);
  Bytes second;
  put_pages(second, FrameType::pages_lz4, {{100, 16}}, compressed(content(16, 9)));
  wire::put_frame(second, FrameType::round_end, wire::encode_round(2));
  EXPECT_EQ(send(second, 7), 2U);
  expect_pages(100, content(16, 9));
}

TEST_F(PageReceiving, LeavesTheNeighboursOfABlockAlone) {
  memory_.pages({99, 1}).back() = std::byte{7};
  memory_.pages({116, 1}).front() = std::byte{8};
  Bytes bytes;
  put_pages(bytes, FrameType::pages_lz4, {{100, 16}}, compressed(content(17, 2)));
  EXPECT_THROW(send(bytes), wire::ProtocolError);  // one page too many in the block
  EXPECT_EQ(memory_.pages({99, 1}).back(), std::byte{7});
  EXPECT_EQ(memory_.pages({116, 1}).front(), std::byte{8});
}

TEST_F(PageReceiving, RefusesABlockOfTooFewPages) {
  Bytes bytes;
  put_pages(bytes, FrameType::pages_lz4, {{100, 16}}, compressed(content(15, 2)));
  EXPECT_THROW(send(bytes), wire::ProtocolError);
}

TEST_F(PageReceiving, PutsPagesOfAZstandardFrameInPlace) {
  const Bytes pages = content(16, 2);
  PageCodec codec;
  Bytes frame(PageCodec::room_for(pages.size())), bytes;
  frame.resize(codec.pack_zstd(pages, frame));
  put_pages(bytes, FrameType::pages_zstd, {{100, 10}, {50, 6}}, frame);
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  EXPECT_EQ(send(bytes), 1U);
  expect_pages(100, {pages.begin(), pages.begin() + 10 * vmm::kPageSize});
  expect_pages(50, {pages.begin() + 10 * vmm::kPageSize, pages.end()});
}

TEST_F(PageReceiving, TakesNoMorePagesInARoundThanRamHas) {
  const std::uint64_t pages = memory_.page_count();
  Bytes bytes;
  put_pages(bytes, FrameType::pages_zero, {{0, pages}}, {});
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  EXPECT_EQ(send(bytes), 1U);
  target_.in_round = 0;  // as the receiver does when the round is over
  bytes.clear();
  put_pages(bytes, FrameType::pages_zero, {{0, pages}}, {});
  put_pages(bytes, FrameType::pages_zero, {{7, 1}}, {});
  EXPECT_THROW(send(bytes), wire::ProtocolError);
}

TEST_F(PageReceiving, TakesTheEndOfARoundOnce) {
  Bytes bytes;
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  EXPECT_EQ(send(bytes), 1U);
  EXPECT_THROW(send(bytes), wire::ProtocolError);
}

TEST_F(PageReceiving, PutsWhatPagesShareIntoEach) {
  const Bytes page = content(1, 3);
  Bytes bytes;
  put_pages(bytes, FrameType::pages_alike, {{7, 2}, {90, 1}}, page);
  put_pages(bytes, FrameType::pages_alike, {{20, 1}}, Bytes(wire::kWordBytes, std::byte{'x'}));
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  EXPECT_EQ(send(bytes), 1U);
  for (const vmm::PageIndex each : {7U, 8U, 90U}) expect_pages(each, page);
  expect_pages(20, Bytes(vmm::kPageSize, std::byte{'x'}));
  expect_pages(21, Bytes(vmm::kPageSize));
}

TEST_F(PageReceiving, RefusesWhatIsNeitherAPageNorAWord) {
  Bytes bytes;
  put_pages(bytes, FrameType::pages_alike, {{7, 2}}, Bytes(100));
  EXPECT_THROW(send(bytes), wire::ProtocolError);
}

/// Notes the pages that it is given, and puts them nowhere.
class NotingSink final : public PageSink {
 public:
  explicit NotingSink(std::shared_ptr<PageRanges> noted) : noted_(std::move(noted)) {}
  void put_raw(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
               std::size_t bytes) override {
    static_cast<void>(in.take(bytes));
    put_zero(ranges);
  }
  void put_compressed(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                      std::size_t bytes, BlockFormat /*format*/) override {
    put_raw(ranges, in, bytes);
  }
  void put_deltas(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                  std::size_t bytes) override {
    put_raw(ranges, in, bytes);
  }
  void put_same(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                std::size_t bytes) override {
    put_raw(ranges, in, bytes);
  }
  void put_alike(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                 std::size_t bytes) override {
    put_raw(ranges, in, bytes);
  }
  void put_zero(std::span<const vmm::PageRange> ranges) override {
    noted_->insert(noted_->end(), ranges.begin(), ranges.end());
  }

 private:
  std::shared_ptr<PageRanges> noted_;
};

TEST_F(PageReceiving, GivesPagesToTheSinkThatItIsSwitchedTo) {
  Bytes bytes;
  put_pages(bytes, FrameType::pages_raw, {{5, 1}}, content(1, 1));
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  EXPECT_EQ(send(bytes), 1U);
  const auto noted = std::make_shared<PageRanges>();
  receiver_->switch_to(std::make_unique<NotingSink>(noted));
  bytes.clear();
  put_pages(bytes, FrameType::pages_raw, {{5, 2}}, content(2, 9));
  put_pages(bytes, FrameType::pages_lz4, {{100, 16}}, compressed(content(16, 2)));
  put_pages(bytes, FrameType::pages_zero, {{5, 1}, {7, 3}}, {});
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(2));
  EXPECT_EQ(send(bytes), 2U);
  EXPECT_EQ(*noted, (PageRanges{{5, 2}, {100, 16}, {5, 1}, {7, 3}}));
  expect_pages(5, content(1, 1));
  expect_pages(100, Bytes(vmm::kPageSize));
}

TEST_F(PageReceiving, TellsThatThePeerHungUp) {
  Bytes bytes;
  put_pages(bytes, FrameType::pages_raw, {{5, 2}}, content(2, 1));
  bytes.resize(bytes.size() - 1);
  ::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ::shutdown(peer_, SHUT_RDWR);
  EXPECT_THROW(send({}), std::system_error);
}

}  // namespace
}  // namespace migration
