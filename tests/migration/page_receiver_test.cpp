#include "migration/pages/page_receiver.hpp"

#include <gtest/gtest.h>
#include <lz4.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "migration/base/page_content.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/pages/ram_sink.hpp"
#include "migration/wire/encode.hpp"

namespace migration {
namespace {

using wire::Bytes;
using wire::FrameType;
using Ranges = std::vector<vmm::PageRange>;

/// Pages that differ in every byte that counts, and shrink well.
Bytes content(std::size_t pages, int seed) {
  Bytes bytes(pages * vmm::kPageSize);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(seed + static_cast<int>(i / 64 % 251));
  }
  return bytes;
}

void put_pages(Bytes& out, FrameType type, const Ranges& ranges, const Bytes& data) {
  wire::put_page_header(out, type, ranges, data.size());
  out.insert(out.end(), data.begin(), data.end());
}

Bytes compressed(const Bytes& pages) {
  Bytes out(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(pages.size()))));
  const int size = LZ4_compress_default(
      reinterpret_cast<const char*>(pages.data()), reinterpret_cast<char*>(out.data()),
      static_cast<int>(pages.size()), static_cast<int>(out.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

/// A receiver at one end of a socket pair, and the other end.
class PageReceiving : public testing::Test {
 protected:
  PageReceiving() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0)
      throw std::runtime_error("no socket pair");
    peer_ = ends[0];
    net::Socket socket(context_, net::asio::generic::stream_protocol(AF_UNIX, 0), ends[1]);
    receiver_ = std::make_unique<PageReceiver>(
        std::move(socket), target_, std::make_unique<RamSink>(target_),
        [this](std::uint32_t round, std::exception_ptr failure) {
          const std::lock_guard lock(mutex_);
          if (failure) {
            done_.set_exception(failure);
          } else {
            done_.set_value(round);
          }
        });
  }
  void TearDown() override {
    receiver_.reset();
    ::close(peer_);
  }

  /// Sends the bytes, in writes of `piece`, and waits for the round to land or fail.
  std::uint32_t send(const Bytes& bytes, std::size_t piece = SIZE_MAX) {
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = std::min(piece, bytes.size() - at);
      const ssize_t sent = ::send(peer_, bytes.data() + at, size, MSG_NOSIGNAL);
      if (sent <= 0) break;  // it has hung up: its reason is what counts
      at += static_cast<std::size_t>(sent);
    }
    auto result = [this] {
      const std::lock_guard lock(mutex_);
      return done_.get_future();
    }();
    if (result.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      throw std::runtime_error("the receiver neither lands the round nor fails");
    }
    const std::uint32_t round = result.get();
    const std::lock_guard lock(mutex_);
    done_ = {};
    return round;
  }

  void expect_pages(vmm::PageIndex first, const Bytes& wanted) {
    const auto found = memory_.pages({first, wanted.size() / vmm::kPageSize});
    EXPECT_TRUE(std::ranges::equal(found, wanted)) << "page " << first;
  }

  boost::asio::io_context context_;
  vmm::GuestMemory memory_{16U << 20, vmm::Backing::memfd};
  PageTarget target_{memory_};
  std::mutex mutex_;  ///< guards done_, to which the receiver comes once more as it ends
  std::promise<std::uint32_t> done_;
  int peer_ = -1;
  std::unique_ptr<PageReceiver> receiver_;
};

/// The part of a delta frame for one page.
Bytes delta_from(const Bytes& page, const Bytes& base) {
  PageCodec codec;
  Bytes block(vmm::kPageSize);
  block.resize(codec.pack_delta(page, base, block));
  Bytes out;
  wire::put_delta(out, digest_of(page), block);
  return out;
}

/// Frames of every kind, large and small, one after the other.
struct Mixture {
  Bytes one = content(1, 1), block = content(16, 2), raw = content(256, 3), apart = content(3, 4);
  Bytes bytes;

  Mixture() {
    put_pages(bytes, FrameType::pages_raw, {{5, 1}}, one);
    put_pages(bytes, FrameType::pages_lz4, {{100, 16}}, compressed(block));
    put_pages(bytes, FrameType::pages_raw, {{200, 256}}, raw);
    put_pages(bytes, FrameType::pages_lz4, {{1000, 2}, {900, 1}}, compressed(apart));
    put_pages(bytes, FrameType::pages_zero, {{5, 1}, {3000, 7}}, {});
    wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  }
};

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

/// Two pages that have come, and their differences from what comes next.
class DeltaReceiving : public PageReceiving {
 protected:
  DeltaReceiving() {
    Bytes bytes;
    put_pages(bytes, FrameType::pages_raw, {{5, 1}}, old_a_);
    put_pages(bytes, FrameType::pages_raw, {{9, 1}}, old_b_);
    wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
    EXPECT_EQ(send(bytes), 1U);
  }
  /// A frame of the pages 9 and 5.
  std::uint32_t send_deltas(const Bytes& body) {
    Bytes bytes;
    put_pages(bytes, FrameType::pages_delta, {{9, 1}, {5, 1}}, body);
    wire::put_frame(bytes, FrameType::round_end, wire::encode_round(2));
    return send(bytes);
  }
  static Bytes both(const Bytes& first, const Bytes& second) {
    Bytes body = first;
    body.insert(body.end(), second.begin(), second.end());
    return body;
  }
  static Bytes changed(Bytes page, std::size_t at = 100) {
    page[at] ^= std::byte{1};
    return page;
  }

  /// Nothing in it refers to anything but the base.
  static Bytes noise(unsigned seed) {
    std::mt19937 random{seed};
    Bytes page(vmm::kPageSize);
    for (std::byte& byte : page) byte = static_cast<std::byte>(random());
    return page;
  }

  Bytes old_a_ = noise(1), old_b_ = noise(2);
  Bytes new_a_ = changed(old_a_), new_b_ = changed(old_b_);
};

TEST_F(DeltaReceiving, MakesPagesFromTheirDifferences) {
  EXPECT_EQ(send_deltas(both(delta_from(new_b_, old_b_), delta_from(new_a_, old_a_))), 2U);
  expect_pages(5, new_a_);
  expect_pages(9, new_b_);
}

TEST_F(DeltaReceiving, RefusesADifferenceFromAnotherPage) {
  EXPECT_THROW(send_deltas(both(delta_from(new_b_, old_b_), delta_from(new_b_, old_b_))),
               wire::ProtocolError);
  expect_pages(5, old_a_);
}

TEST_F(DeltaReceiving, RefusesADifferenceFromAnotherVersion) {
  const Bytes newer = changed(new_b_, 200);
  EXPECT_THROW(send_deltas(both(delta_from(newer, new_b_), delta_from(new_a_, old_a_))),
               wire::ProtocolError);
  expect_pages(9, old_b_);
}

TEST_F(DeltaReceiving, RefusesADifferenceThatUnpacksToMoreThanAPage) {
  Bytes bomb;
  wire::put_delta(bomb, digest_of(new_b_), compressed(content(16, 1)));
  EXPECT_THROW(send_deltas(both(bomb, delta_from(new_a_, old_a_))), wire::ProtocolError);
  expect_pages(9, old_b_);
  expect_pages(10, Bytes(vmm::kPageSize));
}

TEST_F(DeltaReceiving, RefusesAFrameOfTooFewDifferences) {
  EXPECT_THROW(send_deltas(delta_from(new_b_, old_b_)), wire::ProtocolError);
}

TEST_F(DeltaReceiving, RefusesAFrameOfTooManyDifferences) {
  const Bytes two = both(delta_from(new_b_, old_b_), delta_from(new_a_, old_a_));
  EXPECT_THROW(send_deltas(both(two, {std::byte{0}})), wire::ProtocolError);
}

TEST_F(DeltaReceiving, RefusesADifferenceThatIsLargerThanItsFrame) {
  Bytes two = both(delta_from(new_b_, old_b_), delta_from(new_a_, old_a_));
  two.resize(two.size() - 1);
  EXPECT_THROW(send_deltas(two), wire::ProtocolError);
}

TEST_F(DeltaReceiving, TakesAPageAsOneThatIsHere) {
  Bytes bytes, body;
  wire::put_same(body, 9, digest_of(old_b_));
  wire::put_same(body, 100, digest_of(old_b_));  // which the frame itself brings
  put_pages(bytes, FrameType::pages_same, {{100, 2}}, body);
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(2));
  EXPECT_EQ(send(bytes), 2U);
  expect_pages(100, old_b_);
  expect_pages(101, old_b_);
}

/// A frame of page 100, which is to be as another one.
class SameReceiving : public DeltaReceiving {
 protected:
  void expect_refused(const Bytes& body) {
    Bytes bytes;
    put_pages(bytes, FrameType::pages_same, {{100, 1}}, body);
    EXPECT_THROW(send(bytes), wire::ProtocolError);
    expect_pages(100, Bytes(vmm::kPageSize));
  }
  static Bytes same(vmm::PageIndex as, std::uint64_t digest) {
    Bytes body;
    wire::put_same(body, as, digest);
    return body;
  }
};

TEST_F(SameReceiving, RefusesAPageThatIsNotHere) {
  expect_refused(same(8, digest_of(Bytes(vmm::kPageSize))));
}

TEST_F(SameReceiving, RefusesAPageThatRamDoesNotHave) {
  expect_refused(same(memory_.page_count(), digest_of(old_b_)));
}

TEST_F(SameReceiving, RefusesAPageOfAnotherContent) { expect_refused(same(9, digest_of(old_a_))); }

TEST_F(SameReceiving, RefusesAFrameThatIsNotFilled) { expect_refused({}); }

TEST_F(SameReceiving, RefusesAFrameOfMoreThanItsPages) {
  Bytes bytes;
  put_pages(bytes, FrameType::pages_same, {{100, 1}},
            both(same(9, digest_of(old_b_)), same(9, digest_of(old_b_))));
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
  explicit NotingSink(std::shared_ptr<Ranges> noted) : noted_(std::move(noted)) {}
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
  std::shared_ptr<Ranges> noted_;
};

TEST_F(PageReceiving, GivesPagesToTheSinkThatItIsSwitchedTo) {
  Bytes bytes;
  put_pages(bytes, FrameType::pages_raw, {{5, 1}}, content(1, 1));
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(1));
  EXPECT_EQ(send(bytes), 1U);
  const auto noted = std::make_shared<Ranges>();
  receiver_->switch_to(std::make_unique<NotingSink>(noted));
  bytes.clear();
  put_pages(bytes, FrameType::pages_raw, {{5, 2}}, content(2, 9));
  put_pages(bytes, FrameType::pages_lz4, {{100, 16}}, compressed(content(16, 2)));
  put_pages(bytes, FrameType::pages_zero, {{5, 1}, {7, 3}}, {});
  wire::put_frame(bytes, FrameType::round_end, wire::encode_round(2));
  EXPECT_EQ(send(bytes), 2U);
  EXPECT_EQ(*noted, (Ranges{{5, 2}, {100, 16}, {5, 1}, {7, 3}}));
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
