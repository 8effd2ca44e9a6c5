#include "guest/io/command_line.hpp"

#include <gtest/gtest.h>

#include "tests/guest/console_double.hpp"

namespace guest {
namespace {

/// The error that ends a guest with this command line.
std::string refusal(const char* text) {
  try {
    parse_command_line(text);
  } catch (const MachineEnded& end) {
    EXPECT_EQ(end.code(), ExitCode::bad_options);
    return end.what();
  }
  return "none";
}

TEST(GuestCommandLine, AsksForNothingWhenEmpty) {
  EXPECT_FALSE(parse_command_line("").any_workload());
  EXPECT_FALSE(parse_command_line(" \n ").any_workload());
}

TEST(GuestCommandLine, TakesOptionsInAnyOrder) {
  const Options options = parse_command_line(
      "ws=32 ws-at=60  check=5000 tick=20 regs fill=350 timer=100 dirty=2000 echo irq\n");
  EXPECT_EQ(options.tick_ms, 20U);
  EXPECT_EQ(options.timer_hz, 100U);
  EXPECT_EQ(options.fill_mib, 350U);
  EXPECT_EQ(options.dirty.writes_per_second, 2000U);
  EXPECT_EQ(options.dirty.working_set_mib, 32U);
  EXPECT_EQ(options.dirty.working_set_at, 60U);
  EXPECT_TRUE(options.check);
  EXPECT_EQ(options.check_pages_per_second, 5000U);
  EXPECT_TRUE(options.registers);
  EXPECT_TRUE(options.echo);
  EXPECT_TRUE(options.receive_interrupts);
  EXPECT_TRUE(options.any_workload());
}

TEST(GuestCommandLine, HasThreeWaysToEnd) {
  EXPECT_TRUE(parse_command_line("end=byte").end_on_byte);
  EXPECT_EQ(parse_command_line("end=ms:250").end_after_ms, 250U);
  EXPECT_EQ(parse_command_line("tick=1 end=ticks:26").end_after_ticks, 26U);
}

TEST(GuestCommandLine, TakesSkewOfWritesInPercent) {
  const Options options = parse_command_line("fill=1 dirty=1 skew=90/10");
  EXPECT_EQ(options.dirty.skew_writes_percent, 90U);
  EXPECT_EQ(options.dirty.skew_pages_percent, 10U);
  EXPECT_EQ(parse_command_line("fill=1 skew=uniform").dirty.skew_pages_percent, 100U);
}

TEST(GuestCommandLine, TakesBurstsOfWrites) {
  const Options options = parse_command_line("fill=1 dirty=1 burst=200/50");
  EXPECT_EQ(options.dirty.busy_ms, 200U);
  EXPECT_EQ(options.dirty.quiet_ms, 50U);
  EXPECT_EQ(parse_command_line("fill=1 dirty=1").dirty.quiet_ms, 0U);
}

TEST(GuestCommandLine, ReadsAsFastAsItCanUnlessToldOtherwise) {
  EXPECT_EQ(parse_command_line("fill=1 touch=uniform").touch.per_second, 0U);
  EXPECT_EQ(parse_command_line("fill=1 touch=uniform touch-rate=0").touch.per_second, 0U);
  EXPECT_EQ(parse_command_line("fill=1 touch=uniform touch-rate=20000").touch.per_second, 20000U);
}

TEST(GuestCommandLine, KnowsFourOrdersOfReads) {
  EXPECT_EQ(parse_command_line("fill=1").touch.order, TouchOrder::none);
  EXPECT_EQ(parse_command_line("fill=1 touch=sequential").touch.order, TouchOrder::sequential);
  EXPECT_EQ(parse_command_line("fill=1 touch=backward").touch.order, TouchOrder::backward);
  EXPECT_EQ(parse_command_line("fill=1 touch=uniform").touch.order, TouchOrder::uniform);
  EXPECT_EQ(parse_command_line("fill=1 touch=skew touch-endless").touch.order, TouchOrder::skew);
  EXPECT_EQ(refusal("fill=1 touch=sideways"), "option touch=sideways");
}

TEST(GuestCommandLine, HasNinetyPercentOfSkewedReadsInAnEighth) {
  const Options usual = parse_command_line("fill=1 touch=skew");
  EXPECT_EQ(usual.touch.hot_percent, 90U);
  EXPECT_EQ(usual.touch.hot_parts, 8U);
  const Options other = parse_command_line("fill=1 touch=skew touch-hot=75/20");
  EXPECT_EQ(other.touch.hot_percent, 75U);
  EXPECT_EQ(other.touch.hot_parts, 20U);
  EXPECT_EQ(refusal("fill=1 touch-hot=75/0"), "option touch-hot=75/0");
}

TEST(GuestCommandLine, ChangesSoManyPagesWhenItIsTold) {
  EXPECT_EQ(parse_command_line("fill=1").change_pages, 0U);
  EXPECT_EQ(parse_command_line("fill=1 change=51").change_pages, 51U);
  EXPECT_EQ(refusal("fill=1 change=0"), "option change=0");
}

TEST(GuestCommandLine, UsesDevicesWhenItIsTold) {
  const Options none = parse_command_line("fill=1");
  EXPECT_EQ(none.disk_blocks, 0U);
  EXPECT_FALSE(none.entropy);
  const Options disk = parse_command_line("disk=4096");
  EXPECT_EQ(disk.disk_blocks, 4096U);
  EXPECT_TRUE(disk.any_workload());
  const Options entropy = parse_command_line("rng");
  EXPECT_TRUE(entropy.entropy);
  EXPECT_TRUE(entropy.any_workload());
  const Options net = parse_command_line("net=500");
  EXPECT_EQ(net.frames_per_second, 500U);
  EXPECT_TRUE(net.any_workload());
  EXPECT_EQ(none.disk_reads, 0U);
  const Options reads = parse_command_line("disk=256 disk-reads=32 disk-kib=1024");
  EXPECT_EQ(reads.disk_reads, 32U);
  EXPECT_EQ(reads.disk_read_kib, 1024U);
  EXPECT_EQ(refusal("disk=256 disk-reads=33"), "option disk-reads=33");
  EXPECT_EQ(refusal("disk=255 disk-reads=1 disk-kib=1024"),
            "options disk-reads needs a disk of at least disk-kib");
  EXPECT_EQ(refusal("disk=0"), "option disk=0");
  EXPECT_EQ(refusal("net=0"), "option net=0");
  const Options sends = parse_command_line("net-sends=1514");
  EXPECT_EQ(sends.frame_bytes, 1514U);
  EXPECT_TRUE(sends.any_workload());
  const Options counts = parse_command_line("net-counts");
  EXPECT_TRUE(counts.counts_frames);
  EXPECT_TRUE(counts.any_workload());
  EXPECT_EQ(refusal("net-sends=59"), "option net-sends=59");
  EXPECT_EQ(refusal("net=1 net-counts"), "options only one of net, net-sends and net-counts");
}

TEST(GuestCommandLine, NamesTheOptionThatItDoesNotKnow) {
  EXPECT_EQ(refusal("tick=10 tock=10"), "option tock=10");
  EXPECT_EQ(refusal("checks"), "option checks");
  EXPECT_EQ(refusal("fill=1 end=never"), "option end=never");
}

TEST(GuestCommandLine, RefusesNumbersThatAreNone) {
  for (const char* text : {"tick=", "tick=ten", "tick=10ms", "tick=-1", "tick=0", "timer=10001",
                           "tick=99999999999999999999999"}) {
    EXPECT_EQ(refusal(text), std::string("option ") + text);
  }
}

TEST(GuestCommandLine, RefusesWhatCannotBeMet) {
  EXPECT_EQ(refusal("fill=1 zero=50"), "options zero, random and text must add up to 100");
  EXPECT_EQ(refusal("touch=uniform"), "options dirty, touch, change and check need fill");
  EXPECT_EQ(refusal("change=1"), "options dirty, touch, change and check need fill");
  EXPECT_EQ(refusal("dirty=1"), "options dirty, touch, change and check need fill");
  EXPECT_EQ(refusal("fill=1 dirty=1 zero=100 random=0 text=0"),
            "options dirty needs pages that are not zero");
  EXPECT_EQ(refusal("fill=1 burst=1/1"), "options burst needs dirty");
  EXPECT_EQ(refusal("fill=1 dirty=1 burst=1/0"), "option burst=1/0");
  EXPECT_EQ(refusal("fill=1 ws=2"), "options ws must not exceed fill");
  EXPECT_EQ(refusal("end=ticks:1"), "options end=ticks needs tick");
}

}  // namespace
}  // namespace guest
