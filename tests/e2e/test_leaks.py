"""Nothing is left of a migration that did not come about, nor of one that did at its destination."""

import unittest

import harness
import no_userfault
import proxy
from harness import DEADLINE, FerryTest, process_counts
from labels import labels
from post_copy import BrokenPostCopyTest

WARM_UP = 5  # allocators and lazily made parts
TIMES = 200


@labels("alone", "slow")
class BegunAndCancelled(FerryTest):
    def begin_and_cancel(self, source):
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "8Mbit", "--channels", 2)
        source.wait_info(
            lambda info: info["migration"] and info["migration"]["outcome"] == "running"
            and info["migration"]["phase"] == "round 1",
            "sending",
        )
        source.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        self.assertEqual(target.wait(), 69, target.stderr.text())
        for process in (migration, target):
            process.close()

    def test_migrations_leave_descriptors_threads_and_memory_where_they_were(self):
        source = self.run_vm("tick=5 fill=16 end=byte", memory="64M")
        source.stdout.wait_for(rb"^# fill done")
        for _ in range(WARM_UP):
            self.begin_and_cancel(source)
        before = process_counts(source.pid)
        for _ in range(TIMES):
            self.begin_and_cancel(source)
        after = process_counts(source.pid)
        self.assertEqual(after["descriptors"], before["descriptors"])
        self.assertEqual(after["threads"], before["threads"])
        slack_kib = 64 << 10 if harness.SANITIZED else 1 << 10  # AddressSanitizer's quarantine
        self.assertLess(after["resident_kib"], before["resident_kib"] + slack_kib)
        self.move(source, "--verify")[0].wait_ticks(10)


@labels("alone", "slow")
class PostCopyThatDidNotComeAbout(FerryTest):
    def end_without_success(self, source, target, to, outcome, why):
        migration = self.migrate(source, to, "--mode", "post-copy", "--channels", 2, "--verify")
        if outcome == "cancelled":
            self.held.wait(DEADLINE)
            source.cli("cancel")
        report = migration.report(1)
        self.assertEqual(report["outcome"], outcome)
        self.assertIn(why, report["error"])
        self.assertIn(target.wait(), (69, 76), target.stderr.text())
        for process in (migration, target):
            process.close()

    def begin_and_fail(self, source, between):
        target = self.receive(inside=no_userfault)
        self.end_without_success(source, target, target, "failed", "userfaultfd")
        # The guest is stopped and its pages are served, for a state that cannot be loaded.
        target = self.receive()
        between.restore(target.address)
        between.on("state", proxy.flip_bit(8))
        self.end_without_success(source, target, between.address, "failed", "cannot be loaded")
        # Before that a migration can be cancelled.
        target = self.receive()
        between.restore(target.address)
        self.held = between.on("accept", proxy.hold)
        self.end_without_success(source, target, between.address, "cancelled", "cancelled")

    def test_leaves_descriptors_threads_and_memory_where_they_were(self):
        source = self.run_vm("tick=5 fill=16 end=byte", memory="64M")
        source.stdout.wait_for(rb"^# fill done")
        between = proxy.Proxy("")
        self.addCleanup(between.close)
        for _ in range(WARM_UP):
            self.begin_and_fail(source, between)
        before = process_counts(source.pid)
        for _ in range(TIMES // 6):
            self.begin_and_fail(source, between)
        after = process_counts(source.pid)
        self.assertEqual(after["descriptors"], before["descriptors"])
        self.assertEqual(after["threads"], before["threads"])
        slack_kib = 64 << 10 if harness.SANITIZED else 1 << 10
        self.assertLess(after["resident_kib"], before["resident_kib"] + slack_kib)
        self.move(source, "--mode", "post-copy", "--verify")[0].wait_ticks(10)


@labels("alone", "slow")
class AnArrival(BrokenPostCopyTest):
    def counts(self, vm):
        counts = process_counts(vm.pid)
        return counts["descriptors"], counts["threads"]

    def setUp(self):
        super().setUp()
        # Beforehand: beside busy guests a new VM may wait long for the kernel's threads.
        arrived, _ = self.move(self.busy_guest("tick=2 fill=8"), "--mode", "pre-copy")
        self.wanted = self.counts(arrived)
        arrived.close()

    def assert_as_after_pre_copy(self, target):
        wanted = self.wanted
        target.wait_info(
            lambda _: self.counts(target) == wanted, f"down to {wanted}: {self.counts(target)}"
        )
        with open(f"/proc/{target.pid}/smaps", encoding="ascii") as maps:
            flags = [line.split() for line in maps if line.startswith("VmFlags")]
        self.assertFalse([each for each in flags if "um" in each], "registered with a userfaultfd")

    def test_by_post_copy_leaves_what_pre_copy_leaves(self):
        target, _ = self.move(self.busy_guest(), "--mode", "post-copy", "--channels", 3)
        self.assert_as_after_pre_copy(target)

    def test_by_hybrid_leaves_what_pre_copy_leaves(self):
        target, _ = self.move(self.busy_guest(), "--mode", "hybrid", "--channels", 3)
        self.assert_as_after_pre_copy(target)

    def test_over_a_link_that_broke_often_leaves_what_pre_copy_leaves(self):
        self.begin_through_proxy("--channels", 3)
        rule = self.between.on("request", proxy.drop(), nth=50)
        self.go()
        for _ in range(5):
            self.wait_for(rule)
            rule = self.between.on("request", proxy.drop(), nth=50)
        self.wait_for(rule)
        self.complete()
        self.assert_as_after_pre_copy(self.target)


if __name__ == "__main__":
    unittest.main()
