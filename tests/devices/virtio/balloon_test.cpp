#include "devices/virtio/balloon.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/devices/fake_host.hpp"
#include "tests/devices/virtio/driver.hpp"

namespace devices::virtio {
namespace {

using vmm::kPageSize;
using vmm::operator""_MiB;
using Pages = std::vector<vmm::PageRange>;

constexpr unsigned kInflate = 0;
constexpr unsigned kDeflate = 1;
constexpr unsigned kFreePages = 2;  ///< the first queue of them
constexpr Balloon::Offers kPlain{.hints = false};
constexpr Balloon::Offers kReports{.hints = false, .reporting = true};
constexpr Balloon::Offers kHints{};
constexpr Balloon::Offers kBoth{.reporting = true};
constexpr vmm::PageIndex kFirst = 1024;  ///< of those that are full

/// What a driver has told of its free pages, a line each.
struct Heard final : vmm::FreePageListener {
  std::vector<std::string> lines;

  void begins() override { lines.emplace_back("begins"); }
  void free(std::span<const vmm::PageRange> pages) override {
    std::string line = "free";
    for (const vmm::PageRange& range : pages) {
      line += fmt::format(" {}+{}", range.first, range.count);
    }
    lines.push_back(line);
  }
  void told_all() override { lines.emplace_back("told all"); }
};
using Lines = std::vector<std::string>;

class BalloonTest : public testing::Test {
 protected:
  void start(unsigned queue, std::uint64_t features = 0, Balloon::Offers offers = kReports) {
    queue_.reset();  // it serves the one before
    balloon_.emplace(offers);
    balloon_->attach(host_, [this] { ++told_; });
    balloon_->begin(features);
    queue_.emplace(
        Queue(host_.ram, Driver::state(), false), notified_,
        ServedQueue::Callbacks{
            .serve = [this, queue](ServedQueue& served) { balloon_->serve(queue, served); },
            .interrupt = [this] { host_.signal_message(0, 0); },
            .broken = [](const std::string& why) { ADD_FAILURE() << why; }},
        0U);
    std::ranges::fill(host_.ram.pages({kFirst, 64}), std::byte{7});
    queue_->resume();
  }
  void offer(const std::vector<Descriptor>& chain) {
    std::vector<Descriptor> linked = chain;
    for (std::size_t i = 0; i + 1 < linked.size(); ++i) {
      linked[i].flags |= kDescriptorNext;
      linked[i].next = static_cast<std::uint16_t>(i + 1);
    }
    driver_.describe(linked);
    driver_.offer(0);
    notified_.signal();
    host_.messages(++offered_);
  }
  void offer_numbers(const std::vector<std::uint32_t>& numbers) {
    put_numbers(numbers);
    offer({{Driver::kData, static_cast<std::uint32_t>(numbers.size() * 4), 0, 0}});
  }
  void put_numbers(const std::vector<std::uint32_t>& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    std::ranges::copy(bytes, host_.ram.at({Driver::kData}, bytes.size()).begin());
  }
  void report(std::uint64_t address, std::uint32_t bytes) {
    offer({{address, bytes, kDescriptorWrite, 0}});
  }
  /// A driver's word of what it answers.
  void offer_command(std::uint32_t command) {
    put_numbers({command});
    offer({{Driver::kData, sizeof(command), 0, 0}});
  }
  void hint(vmm::PageRange pages) {
    report(pages.first * kPageSize, static_cast<std::uint32_t>(pages.count * kPageSize));
  }
  /// What the driver reads of it.
  std::uint32_t command() {
    std::uint32_t command = 0;
    std::memcpy(&command, &balloon_->config()[8], sizeof(command));
    return command;
  }
  /// Of the pages that were full: what went back to the host.
  Pages given_back() {
    vmm::PageSet there(host_.ram.page_count());
    host_.ram.add_populated({kFirst, 64}, there);
    vmm::PageSet gone(host_.ram.page_count());
    gone.set(vmm::PageRange{kFirst, 64});
    gone -= there;
    return gone.ranges();
  }
  /// Of the same pages.
  Pages noted() {
    vmm::PageSet written(host_.ram.page_count());
    host_.ram.take_host_writes(written);
    return written.ranges({kFirst, 64});
  }

  FakeHost host_;
  Driver driver_{host_.ram};
  vmm::EventFd notified_;
  std::optional<Balloon> balloon_;
  std::optional<ServedQueue> queue_;
  int told_ = 0;

 private:
  std::size_t offered_ = 0;
};

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

TEST_F(BalloonTest, HearsOfFreePagesWhenItAsks) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  ASSERT_TRUE(balloon_->tells_free_pages());
  EXPECT_EQ(command(), Balloon::kStop);
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(told_, 1);
  EXPECT_GT(command(), Balloon::kDone);
  offer_command(command());
  hint({kFirst, 4});
  report((kFirst + 8) * kPageSize + 1, 3 * kPageSize);
  report((kFirst + 20) * kPageSize, kPageSize - 1);
  offer_command(Balloon::kStop);
  hint({kFirst + 30, 1});
  balloon_->end_free_pages();
  EXPECT_EQ(told_, 2);
  EXPECT_EQ(command(), Balloon::kDone);
  EXPECT_EQ(heard.lines, (Lines{"begins", "free 1024+4", "free 1033+2", "told all"}));
  EXPECT_TRUE(given_back().empty());
  EXPECT_TRUE(noted().empty());
}

TEST_F(BalloonTest, ForgetsHintsThatAreOfNoRun) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  hint({kFirst, 1});
  balloon_->ask_for_free_pages(heard);
  const std::uint32_t first = command();
  hint({kFirst, 1});
  offer_command(first + 1);
  hint({kFirst, 1});
  offer_command(Balloon::kDone);
  hint({kFirst, 1});
  offer({{Driver::kData, 3, 0, 0}});
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{});
  offer_command(first);
  balloon_->end_free_pages();
  hint({kFirst, 1});
  offer_command(first);
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{"begins"});

  // Of the next one, in which the driver has still something of the last.
  Heard next;
  balloon_->ask_for_free_pages(next);
  EXPECT_NE(command(), first);
  hint({kFirst, 1});
  offer_command(first);
  hint({kFirst, 1});
  EXPECT_EQ(next.lines, Lines{});
  offer_command(command());
  hint({kFirst + 2, 1});
  EXPECT_EQ(next.lines, (Lines{"begins", "free 1026+1"}));
  EXPECT_EQ(heard.lines, Lines{"begins"});
}

TEST_F(BalloonTest, ForgetsWhatADriverAnsweredBeforeAReset) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  balloon_->ask_for_free_pages(heard);
  offer_command(command());
  balloon_->begin(Balloon::kHints);
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{"begins"});
  offer_command(command());
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, (Lines{"begins", "begins", "free 1024+1"}));
}

TEST_F(BalloonTest, AsksNoDriverThatDidNotAgreeOrKeepsPoison) {
  Heard heard;
  start(kFreePages, 0, kHints);
  EXPECT_FALSE(balloon_->tells_free_pages());
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(command(), Balloon::kStop);
  balloon_->end_free_pages();
  EXPECT_EQ(command(), Balloon::kStop);
  EXPECT_EQ(told_, 0);

  start(kFreePages, Balloon::kHints | Balloon::kPagePoison, kHints);
  balloon_->ask_for_free_pages(heard);
  offer_command(command());
  const std::uint32_t poison = 0xaaaaaaaa;
  balloon_->write_config(12, std::as_bytes(std::span(&poison, 1)));
  hint({kFirst, 1});
  EXPECT_EQ(heard.lines, Lines{"begins"});
  EXPECT_FALSE(balloon_->tells_free_pages());
}

// A driver that does without hints numbers the queue of reports as if theirs were not there.
TEST_F(BalloonTest, TakesReportsOnTheQueueThatTheDriverMeans) {
  start(kFreePages, Balloon::kReporting, kBoth);
  hint({kFirst, 1});
  EXPECT_EQ(given_back(), (Pages{{kFirst, 1}}));
}

TEST_F(BalloonTest, TakesReportsBehindHints) {
  Heard heard;
  start(kFreePages + 1, Balloon::kReporting | Balloon::kHints, kBoth);
  balloon_->ask_for_free_pages(heard);
  offer_command(command());
  hint({kFirst, 1});
  EXPECT_EQ(given_back(), (Pages{{kFirst, 1}}));
  EXPECT_EQ(heard.lines, Lines{});
}

// The driver takes up no run whose number it knows, and holds what it named until it reads kDone.
TEST_F(BalloonTest, TravelsWithTheNumberOfItsRuns) {
  Heard heard;
  start(kFreePages, Balloon::kHints, kHints);
  balloon_->ask_for_free_pages(heard);
  balloon_->end_free_pages();
  balloon_->ask_for_free_pages(heard);
  const std::uint32_t last = command();
  std::vector<std::byte> state;
  vmm::ByteWriter out(state);
  balloon_->save(out);
  start(kFreePages, Balloon::kHints, kHints);
  vmm::ByteReader<std::invalid_argument> from(state, "a balloon");
  balloon_->load(from);
  from.finish();
  EXPECT_EQ(command(), Balloon::kDone);
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(command(), last + 1);

  const auto load_run = [&](std::uint32_t run) {
    std::memcpy(&state[12], &run, sizeof(run));
    vmm::ByteReader<std::invalid_argument> again(state, "a balloon");
    balloon_->load(again);
  };
  EXPECT_THROW(load_run(0), std::invalid_argument);
  load_run(UINT32_MAX);
  balloon_->ask_for_free_pages(heard);
  EXPECT_EQ(command(), Balloon::kDone + 1);
}

}  // namespace
}  // namespace devices::virtio
