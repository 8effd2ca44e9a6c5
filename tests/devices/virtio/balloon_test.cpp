#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "tests/devices/virtio/balloon_fixture.hpp"

namespace devices::virtio {
namespace {

TEST_F(BalloonTest, IsWhatItSays) {
  const Balloon plain(kPlain);
  EXPECT_EQ(plain.type(), 5);
  EXPECT_EQ(plain.features(), Balloon::kDeflateOnOom | Balloon::kPagePoison);
  EXPECT_EQ(plain.queue_sizes().size(), 2U);
  const Balloon reporting(kReports);
  EXPECT_EQ(reporting.features() - plain.features(), Balloon::kReporting);
  EXPECT_EQ(reporting.queue_sizes().size(), 3U);
  EXPECT_GE(reporting.queue_sizes().back(), 32);  // what Linux reports at a time
  const Balloon hinting(kHints);
  EXPECT_EQ(hinting.features() - plain.features(), Balloon::kHints);
  EXPECT_EQ(hinting.queue_sizes().size(), 3U);
  EXPECT_EQ(Balloon(kBoth).queue_sizes().size(), 4U);
}

// The names travel: a peer without hints has the first and the third.
TEST_F(BalloonTest, IsMadeAgainByItsName) {
  EXPECT_EQ(Balloon::offers_of("balloon"), kPlain);
  EXPECT_EQ(Balloon::offers_of("balloon with free-page hints"), kHints);
  EXPECT_EQ(Balloon::offers_of("balloon with free-page reporting"), kReports);
  EXPECT_EQ(Balloon::offers_of("balloon with free-page hints and reporting"), kBoth);
  for (const Balloon::Offers& offers : {kPlain, kHints, kReports, kBoth}) {
    EXPECT_EQ(Balloon::offers_of(Balloon(offers).host_part()), offers);
  }
  EXPECT_FALSE(Balloon::offers_of("balloon animal"));
}

TEST_F(BalloonTest, GivesThePagesBackThatTheGuestInflatesItBy) {
  start(kInflate);
  const Pages some = {{kFirst, 3}, {kFirst + 9, 1}};
  offer_numbers({kFirst + 2, kFirst, kFirst + 9, kFirst + 1, kFirst + 2});
  EXPECT_EQ(given_back(), some);
  EXPECT_EQ(noted(), some);
  EXPECT_EQ(driver_.used_element(0).length, 0U);
  EXPECT_EQ(host_.ram.pages({kFirst, 1}).front(), std::byte{0});
}

TEST_F(BalloonTest, TakesNumbersInAnyPieces) {
  start(kInflate);
  put_numbers({kFirst + 4, kFirst + 6, kFirst + 8});
  offer({{Driver::kData, 3, 0, 0}, {Driver::kData + 3, 6, 0, 0}, {Driver::kData + 9, 2, 0, 0}});
  EXPECT_EQ(given_back(), (Pages{{kFirst + 4, 1}, {kFirst + 6, 1}}));
}

TEST_F(BalloonTest, LeavesAloneWhatIsNotRam) {
  start(kInflate);
  const auto end = static_cast<std::uint32_t>(host_.ram.page_count());
  offer_numbers({end, end + 1, UINT32_MAX, 0xd0000, 0xfee00, kFirst});
  EXPECT_EQ(given_back(), (Pages{{kFirst, 1}}));
}

TEST_F(BalloonTest, FindsPagesAboveTheHole) {
  host_.ram = vmm::GuestMemory(vmm::kHoleStart + 16_MiB);
  start(kInflate);
  const vmm::PageIndex high = vmm::kHoleStart / kPageSize + 5;
  host_.ram.pages({high, 1}).front() = std::byte{1};
  offer_numbers({static_cast<std::uint32_t>(vmm::kHoleEnd / kPageSize + 5),
                 static_cast<std::uint32_t>(vmm::kHoleStart / kPageSize + 5)});
  EXPECT_EQ(host_.ram.pages({high, 1}).front(), std::byte{0});
}

TEST_F(BalloonTest, GivesNothingBackThatIsDeflated) {
  start(kDeflate);
  offer_numbers({kFirst, kFirst + 1});
  EXPECT_TRUE(given_back().empty());
}

TEST_F(BalloonTest, GivesNothingBackWhilePagesAreMissing) {
  host_.lacking = true;
  start(kInflate);
  offer_numbers({kFirst});
  EXPECT_TRUE(given_back().empty());
  host_.lacking = false;
  offer_numbers({kFirst});
  EXPECT_EQ(given_back(), (Pages{{kFirst, 1}}));
}

TEST_F(BalloonTest, KeepsRamThatIsAFile) {
  host_.ram = vmm::GuestMemory(vmm::kMinMemory, vmm::Backing::memfd);
  start(kInflate);
  offer_numbers({kFirst});
  EXPECT_EQ(host_.ram.pages({kFirst, 1}).front(), std::byte{7});
}

TEST_F(BalloonTest, GivesWholePagesBackThatAreReportedFree) {
  start(kFreePages, Balloon::kReporting);
  report(kFirst * kPageSize, 4 * kPageSize);
  report((kFirst + 8) * kPageSize + 1, 3 * kPageSize);
  report((kFirst + 16) * kPageSize + 1, kPageSize);
  report((kFirst + 20) * kPageSize, kPageSize - 1);
  const Pages whole = {{kFirst, 4}, {kFirst + 9, 2}};
  EXPECT_EQ(given_back(), whole);
  EXPECT_EQ(noted(), whole);
}

TEST_F(BalloonTest, TakesNoReportsThatWereNotAgreedOn) {
  start(kFreePages);
  report(kFirst * kPageSize, 4 * kPageSize);
  EXPECT_TRUE(given_back().empty());
}

TEST_F(BalloonTest, LeavesFreePagesThatHaveToKeepTheirPoison) {
  start(kFreePages, Balloon::kReporting | Balloon::kPagePoison);
  const std::uint32_t poison = 0xaaaaaaaa;
  balloon_->write_config(12, std::as_bytes(std::span(&poison, 1)));
  report(kFirst * kPageSize, 4 * kPageSize);
  EXPECT_TRUE(given_back().empty());
  const std::uint32_t zero = 0;
  balloon_->write_config(12, std::as_bytes(std::span(&zero, 1)));
  report(kFirst * kPageSize, 4 * kPageSize);
  EXPECT_EQ(given_back(), (Pages{{kFirst, 4}}));
}

TEST_F(BalloonTest, AsksForATargetThatLeavesTheGuestEnough) {
  host_.ram = vmm::GuestMemory(64_MiB);
  start(kInflate);
  balloon_->set_target(48_MiB);
  EXPECT_EQ(told_, 1);
  balloon_->set_target(48_MiB + 5);
  EXPECT_EQ(told_, 1);
  EXPECT_THROW(balloon_->set_target(48_MiB + kPageSize), std::invalid_argument);
  EXPECT_THROW(balloon_->set_target(UINT64_MAX), std::invalid_argument);
  EXPECT_EQ(balloon_->size().target, 48_MiB);
  std::uint32_t pages = 0;
  const auto config = balloon_->config();
  std::memcpy(&pages, config.data(), sizeof(pages));
  EXPECT_EQ(pages, 48_MiB / kPageSize);
  balloon_->detach();
  balloon_->set_target(0);
  EXPECT_EQ(told_, 1);
}

TEST_F(BalloonTest, LetsTheDriverWriteWhatIsTheDrivers) {
  start(kInflate);
  const std::vector<std::byte> ones(64, std::byte{1});
  balloon_->write_config(6, std::span(ones).first(2));
  EXPECT_EQ(balloon_->size().actual, std::uint64_t{0x01010000} * kPageSize);
  balloon_->write_config(0, ones);
  balloon_->write_config(16, ones);
  balloon_->write_config(UINT64_MAX, ones);
  EXPECT_EQ(balloon_->size().target, 0U);
  const auto config = balloon_->config();
  ASSERT_EQ(config.size(), 16U);
  for (const std::size_t at : {4U, 12U}) EXPECT_EQ(config[at], std::byte{1}) << at;
  for (const std::size_t at : {0U, 8U}) EXPECT_EQ(config[at], std::byte{0}) << at;
}

TEST_F(BalloonTest, TravelsWithItsSizes) {
  host_.ram = vmm::GuestMemory(64_MiB);
  start(kInflate);
  balloon_->set_target(20_MiB);
  const std::uint32_t actual = 33;
  balloon_->write_config(4, std::as_bytes(std::span(&actual, 1)));
  std::vector<std::byte> state;
  vmm::ByteWriter out(state);
  balloon_->save(out);

  Balloon there(kReports);
  there.attach(host_, [] {});
  vmm::ByteReader<std::invalid_argument> from(state, "a balloon");
  there.load(from);
  from.finish();
  EXPECT_EQ(there.config(), balloon_->config());

  FakeHost smaller;
  Balloon other(kReports);
  other.attach(smaller, [] {});
  vmm::ByteReader<std::invalid_argument> again(state, "a balloon");
  EXPECT_THROW(other.load(again), std::invalid_argument);
}

}  // namespace
}  // namespace devices::virtio
