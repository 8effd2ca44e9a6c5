"""Pages that go as deltas, as references to what was sent, or by Zstandard: the guest finds every page
as it left it, whatever the way and whatever else is asked for."""

import itertools
import unittest

import proxy
from cases import cases
from harness import pages_sent
from labels import labels
from reuse import ReuseTest

# A page in three is a copy of another; what is written is written again and again.
COPIES = "tick=2 fill=24 zero=10 random=45 text=45 copies=30 dirty=1500 ws=6 check regs end=byte"
# So slow that whatever saves bytes pays.
SLOW = ("--max-bandwidth", "160Mbit", "--max-downtime", "2ms", "--max-rounds", "8")
LEGS = 20


class LessTest(ReuseTest):
    def guest(self, *args):
        vm = self.run_vm(COPIES, *args, memory="64M")
        vm.stdout.wait_for(rb"^# fill done")
        vm.wait_ticks(20)
        return vm


# How much a sender saves hangs on what compressing costs it.
@labels("no-asan", "no-tsan", "no-standard-kvm")
class SendingLess(LessTest):
    def move_less(self, *args):
        vm = self.guest()
        target, report = self.move(vm, *SLOW, "--verify", *args)
        self.assertIs(report["verified"], True)
        target.wait_ticks(20)
        self.end(target)
        return report

    def test_a_page_that_is_sent_again_goes_as_its_difference(self):
        report = self.move_less("--mode", "pre-copy")
        pages = report["pages"]
        self.assertGreater(pages["delta"], 100, report)
        self.assertGreater(report["saved_bytes"]["delta"], 3000 * pages["delta"])
        self.assertGreater(report["delta_cache_bytes"], 100 * 4096)
        self.assert_pages_add_up(report)

    def test_the_cache_for_deltas_is_bounded(self):
        report = self.move_less("--mode", "pre-copy", "--delta-cache", "400K")
        self.assertGreater(report["pages"]["delta"], 10)
        self.assertLessEqual(report["delta_cache_bytes"], 400 << 10)

    def test_without_a_cache_there_are_no_deltas(self):
        report = self.move_less("--mode", "pre-copy", "--delta-cache", "0")
        self.assertEqual(report["pages"]["delta"], 0)

    def test_copies_go_as_references(self):
        report = self.move_less("--mode", "pre-copy")
        self.assertGreater(report["pages"]["duplicate"], 1000)
        self.assertGreater(report["saved_bytes"]["duplicate"], 4000 * 1000)
        self.assert_pages_add_up(report)

    def test_zstandard_is_taken_where_it_is_asked_for(self):
        sizes = {}
        for way in ("lz4", "zstd"):
            report = self.move_less("--mode", "pre-copy", "--compression", way)
            sizes[way] = report["wire_bytes"]
            self.assertEqual(report["pages"]["zstd"] > 0, way == "zstd")
        self.assertLess(sizes["zstd"], sizes["lz4"])

    def test_zstandard_is_chosen_over_a_slow_link(self):
        vm = self.run_vm("tick=2 fill=60 zero=0 random=0 text=100 end=byte", memory="80M")
        vm.stdout.wait_for(rb"^# fill done")
        target, report = self.move(vm, "--mode", "pre-copy", "--max-bandwidth", "40Mbit")
        self.end(target)
        pages = report["pages"]
        self.assertGreater(pages["zstd"], pages["compressed"] / 2, report)

    def test_with_no_compression_every_page_goes_as_it_is(self):
        report = self.move_less("--mode", "pre-copy", "--compression", "none")
        pages = report["pages"]
        self.assertEqual(pages["delta"] + pages["duplicate"] + pages["compressed"], 0, pages)
        self.assertEqual(pages_sent(pages), pages["zero"] + pages["raw"])


class WhatIsNotRight(LessTest):
    """On its way a frame loses a byte's value at its end: the last page's digest, or its block."""

    @cases({
        "a_difference_from_another_page_is_refused": ("pages_delta", "difference|damaged LZ4"),
        "a_reference_to_another_content_is_refused": ("pages_same", "not here"),
        "a_damaged_zstandard_frame_is_refused":
            ("pages_zstd", "Zstandard", "--compression", "zstd"),
    })
    def stays(self, frame, why, *args):
        vm = self.guest()
        between = proxy.Proxy(self.receive().address)
        self.addCleanup(between.close)
        between.on(frame, proxy.payload(lambda sent: sent[:-1] + bytes([sent[-1] ^ 0x55])))
        report = self.migrate(vm, between.address, *SLOW, "--mode", "pre-copy", *args).report(1)
        self.assertEqual(report["outcome"], "failed")
        self.assertRegex(report["error"], why)
        vm.wait_ticks(10)
        self.end(vm)


@labels("slow")
class ManyLegs(LessTest):
    @cases({
        "with_deltas": ("--mode", "pre-copy", "--compression", "lz4"),
        "with_duplicates": ("--mode", "pre-copy", "--delta-cache", "0"),
        "by_zstandard": ("--mode", "pre-copy", "--compression", "zstd"),
        "after_the_switch": ("--mode", "hybrid"),
        "after_the_handover": ("--mode", "post-copy"),
    })
    def lose_nothing(self, *args):
        vm = self.guest()
        for _ in range(LEGS):
            vm, report = self.move(vm, *SLOW, "--verify", *args)
            self.assertIs(report["verified"], True)
            vm.wait_ticks(5)
        self.end(vm)

    def test_mixed_with_everything_else_lose_nothing(self):
        """Both ways in turn, so that each return finds an image."""
        here, there = self.make_store(), self.make_store()
        vm = self.guest("--image-store", here)
        ways = itertools.product(("hybrid", "pre-copy", "auto"), ("auto", "zstd", "lz4"), (1, 3))
        for mode, compression, channels in itertools.islice(itertools.cycle(ways), LEGS // 2):
            args = (*SLOW, "--mode", mode, "--compression", compression, "--channels", channels)
            away, report = self.leave(vm, there, "--verify", *args)
            self.assertIs(report["verified"], True)
            away.wait_ticks(5)
            back, report = self.come_back(away, here, *args)
            self.assert_pages_add_up(report)
            self.assert_keeper_ends(vm)
            back.wait_ticks(5)
            vm = back
        self.end(vm)


if __name__ == "__main__":
    unittest.main()
