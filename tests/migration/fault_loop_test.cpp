#include "migration/postcopy/fault_loop.hpp"

#include <gtest/gtest.h>
#include <lz4.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "migration/base/page_content.hpp"
#include "tests/migration/fault_peer.hpp"
#include "tests/migration/missing_pages_fixture.hpp"

namespace migration {
namespace {

using wire::PageEncoding;

TEST_F(FaultServing, AReaderWaitsForItsPageAndSeesItsBytes) {
  make();
  connect();
  vmm::Reader& reader = read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  EXPECT_TRUE(reader.waits());
  send_page(5, 42);
  EXPECT_EQ(reader.value(), std::byte{42});
  loop_->disconnect();  // the fault thread has done with the page then
  EXPECT_EQ(missing_->count(), memory_.page_count() - 1);
  EXPECT_FALSE(missing_->test(5));
  EXPECT_EQ(missing_->latencies().count(), 1U);
}

TEST_F(FaultServing, SeveralReadersOfAPageMakeOneRequest) {
  make();
  connect();
  vmm::Reader& one = read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  vmm::Reader& two = read(5);
  vmm::Reader& three = read(5);
  vmm::Reader& other = read(6);
  EXPECT_EQ(peer_->receive_request(), 6U);
  send_page(5, 42);
  send_page(6, 43);
  for (vmm::Reader* reader : {&one, &two, &three}) EXPECT_EQ(reader->value(), std::byte{42});
  EXPECT_EQ(other.value(), std::byte{43});
  loop_->disconnect();
  EXPECT_TRUE(peer_->ended());
}

TEST_F(FaultServing, TellsOfManyFaultsAndWhereItServesThem) {
  make();
  connect();
  EXPECT_EQ(loop_->watch().busy_processor(), -1);
  int processor = -1;
  // On a busy machine eight may take longer than a moment, now and then.
  for (vmm::PageIndex page = 0; page < 500 && processor < 0; ++page) {
    vmm::Reader& reader = read(page);
    EXPECT_EQ(peer_->receive_request(), page);
    send_page(page, 42);
    EXPECT_EQ(reader.value(), std::byte{42});
    processor = loop_->watch().busy_processor();
  }
  EXPECT_GE(processor, 0);
}

TEST_F(FaultServing, APageThatIsNotMissingIsZeroAtOnce) {
  make({{0, 10}});
  EXPECT_EQ(read(10).value(), std::byte{0});  // and nobody to ask
  EXPECT_EQ(missing_->count(), 10U);
}

TEST_F(FaultServing, ZeroAndCompressedAnswersAreInstalled) {
  make();
  connect();
  vmm::Reader& zero = read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  peer_->send_page(5, PageEncoding::zero, {});
  EXPECT_EQ(zero.value(), std::byte{0});
  vmm::Reader& packed = read(6);
  EXPECT_EQ(peer_->receive_request(), 6U);
  peer_->send_page(6, PageEncoding::lz4, compressed(vmm::pages_of(42)));
  EXPECT_EQ(packed.value(), std::byte{42});
  EXPECT_TRUE(std::ranges::equal(memory_.pages({6, 1}), vmm::pages_of(42)));
}

TEST_F(FaultServing, WhatIsThereOfAMissingPageIsDropped) {
  memory_.pages({5, 1}).front() = std::byte{9};
  make();
  connect();
  vmm::Reader& reader = read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  send_page(5, 42);
  EXPECT_EQ(reader.value(), std::byte{42});
}

TEST_F(FaultServing, APageMayComeBeforeItIsAskedFor) {
  make();
  connect();
  send_early(7, 42);
  EXPECT_EQ(read(7).value(), std::byte{42});
}

TEST_F(FaultServing, AnAnswerThatNobodyAskedForFailsTheConnection) {
  make();
  connect();
  send_page(7, 42);
  EXPECT_EQ(failure(), "the source sent a page that nobody asked for");
  EXPECT_TRUE(missing_->test(7));
}

TEST_F(FaultServing, APageThatIsHereAlreadyFailsTheConnection) {
  make();
  connect();
  send_early(7, 42);
  send_early(7, 43);
  EXPECT_NE(failure().find("here already"), std::string::npos);
  EXPECT_FALSE(loop_->connected());
  EXPECT_TRUE(peer_->ended());
  EXPECT_EQ(read(7).value(), std::byte{42});
}

TEST_F(FaultServing, APageThatWasNeverMissingFailsTheConnection) {
  make({{0, 10}});
  connect();
  send_early(10, 42);
  EXPECT_NE(failure().find("here already"), std::string::npos);
}

TEST_F(FaultServing, APageOfAWrongDigestFailsTheConnectionAndIsNotInstalled) {
  make({{0, 10}}, true);
  connect();
  const auto page = vmm::pages_of(42);
  send_early(5, 42, digest_of(page));
  EXPECT_EQ(read(5).value(), std::byte{42});
  send_early(6, 42, digest_of(page) + 1);
  EXPECT_NE(failure().find("0x6000 differs from its digest"), std::string::npos);
  EXPECT_TRUE(missing_->test(6));
}

TEST_F(FaultServing, AZeroPageOfAWrongDigestFailsTheConnection) {
  make({{0, 10}}, true);
  connect();
  peer_->send_page(6, PageEncoding::zero, {}, 1, wire::FrameType::early);
  EXPECT_NE(failure().find("differs from its digest"), std::string::npos);
  EXPECT_TRUE(missing_->test(6));
}

TEST_F(FaultServing, ADamagedPageFailsTheConnection) {
  make();
  connect();
  auto block = compressed(vmm::pages_of(42));
  block.resize(block.size() - 3);
  peer_->send_page(5, PageEncoding::lz4, block, 0, wire::FrameType::early);
  EXPECT_EQ(failure(), "the peer sent a damaged LZ4 block");
}

TEST_F(FaultServing, SomethingElseThanAPageFailsTheConnection) {
  make();
  connect();
  wire::Bytes frame;
  wire::put_frame(frame, wire::FrameType::landed, wire::encode_round(1));
  peer_->send(frame);
  EXPECT_NE(failure().find("something else than a page"), std::string::npos);
}

TEST_F(FaultServing, AFrameMayComeInPieces) {
  make();
  connect();
  vmm::Reader& reader = read(5);
  wire::Bytes frames;
  for (const vmm::PageIndex page : {5U, 6U}) {
    const auto data = vmm::pages_of(static_cast<int>(page));
    wire::put_single_page(frames, wire::FrameType::early, page, PageEncoding::raw, 0, data.size());
    frames.insert(frames.end(), data.begin(), data.end());
  }
  for (std::size_t at = 0; at < frames.size(); at += 1000) {
    peer_->send(std::span(frames).subspan(at, std::min<std::size_t>(1000, frames.size() - at)));
  }
  EXPECT_EQ(reader.value(), std::byte{5});
  EXPECT_EQ(read(6).value(), std::byte{6});
}

TEST_F(FaultServing, WhoWaitsWhileTheLinkIsAwayIsAskedForOnTheNextOne) {
  make();
  connect();
  vmm::Reader& before = read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  peer_->hang_up();
  EXPECT_NE(failure(), "has not failed");
  EXPECT_FALSE(loop_->connected());
  loop_->disconnect();
  connect();
  EXPECT_EQ(peer_->receive_request(), 5U);
  send_page(5, 42);
  EXPECT_EQ(before.value(), std::byte{42});
}

TEST_F(FaultServing, WhoTouchesAPageBeforeThereIsALinkIsAskedForOnce) {
  make();
  vmm::Reader& reader = read(5);
  connect();
  EXPECT_EQ(peer_->receive_request(), 5U);
  send_page(5, 42);
  EXPECT_EQ(reader.value(), std::byte{42});
  loop_->disconnect();
  EXPECT_TRUE(peer_->ended());
}

TEST_F(FaultServing, HalfAFrameOfALostLinkIsForgotten) {
  make();
  connect();
  wire::Bytes half;
  wire::put_single_page(half, wire::FrameType::page, 5, PageEncoding::raw, 0, vmm::kPageSize);
  peer_->send(half);
  peer_->hang_up();
  EXPECT_NE(failure(), "has not failed");
  connect();
  send_early(6, 42);
  EXPECT_EQ(read(6).value(), std::byte{42});
}

TEST_F(FaultServing, ASourceThatDoesNotSendAPageIsLost) {
  timeout_ = std::chrono::milliseconds(50);
  make();
  connect();
  read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  EXPECT_NE(failure().find("does not send a page that is waited for"), std::string::npos);
}

TEST_F(FaultServing, AbandoningLetsGoWhoWaitsAndWhoComes) {
  make();
  connect();
  vmm::Reader& waiting = read(5);
  EXPECT_EQ(peer_->receive_request(), 5U);
  loop_->abandon();
  EXPECT_TRUE(loop_->abandoned());
  EXPECT_EQ(waiting.value(), std::byte{0});
  EXPECT_EQ(read(6).value(), std::byte{0});
}

TEST_F(FaultServing, IsCompleteWhereNothingIsMissing) {
  make({});
  EXPECT_FALSE(complete());
  loop_->finish();
  EXPECT_TRUE(wait_complete());
  EXPECT_EQ(missing_->count(), 0U);
}

TEST_F(FaultServing, IsCompleteOnceWithTheLastPage) {
  make({{4, 3}});
  connect();
  const auto page = vmm::pages_of(42);
  install({5, 1}, page);
  send_early(4, 42);
  EXPECT_FALSE(complete());
  install_zero({6, 1});
  EXPECT_TRUE(wait_complete());
  EXPECT_EQ(missing_->count(), 0U);
  // No page is waited for any more, and the link may go.
  peer_->hang_up();
  EXPECT_EQ(read(100).value(), std::byte{0});
  EXPECT_EQ(read(6).value(), std::byte{0});
  EXPECT_EQ(read(4).value(), std::byte{42});
  loop_.reset();
  EXPECT_EQ(completed_, 1);
  EXPECT_EQ(failures_, 0);
}

}  // namespace
}  // namespace migration
