#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <random>

#include "tests/migration/page_receiver_fixture.hpp"

namespace migration {
namespace {

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

}  // namespace
}  // namespace migration
