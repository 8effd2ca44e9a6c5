"""Post-copy, hybrid and auto: the guest goes on at the destination while its pages still come."""

import itertools
import unittest

import images
from harness import DEADLINE
from labels import labels
from post_copy import SLOW_WORK, WORK, PostCopyTest

ALL_RANDOM = "zero=0 random=100 text=0"
# Writes over its pages again in less time than a link of 80 Mbit needs for them.
WILD = f"tick=2 fill=8 {ALL_RANDOM} dirty=20000 check end=byte"


@labels("alone", "no-standard-kvm")
class PostCopy(PostCopyTest):
    def move_and_check(self, *args, transport="tcp", cpus=1):
        source = self.busy_guest(cpus=cpus)
        target, report = self.move(source, "--mode", "post-copy", *args, transport=transport)
        self.assert_pure(report)
        # All may have come before a guest that was short of a processor touched what it lacked.
        self.assertEqual(report["faults"]["max_us"] > 0, report["faults"]["count"] > 0)
        self.wait_all_here(target)
        self.wait_walk(target)
        self.finish(source, target)
        return report

    def test_takes_a_guest_with_one_vcpu_over_tcp(self):
        self.move_and_check("--compression", "none")

    def test_takes_a_guest_with_two_vcpus_over_a_unix_socket(self):
        self.move_and_check(transport="unix", cpus=2)

    def test_takes_a_guest_with_four_vcpus(self):
        self.move_and_check(cpus=4)

    def test_compresses_over_three_channels(self):
        report = self.move_and_check("--channels", 3, "--compression", "lz4")
        self.assertGreater(report["pages"]["compressed"], 0)

    def test_without_compression_compresses_nothing(self):
        report = self.move_and_check("--channels", 2, "--compression", "none")
        self.assertEqual(report["pages"]["compressed"], 0)

    def test_verifies_each_page(self):
        report = self.move_and_check("--verify", "--channels", 2)
        self.assertIs(report["verified"], True)

    def test_in_linear_order(self):
        self.move_and_check("--prepaging", "linear")

    def test_by_faults_alone_sends_what_the_guest_touches(self):
        """The guest walks over all that it filled; its other pages come when that is asked for."""
        source = self.busy_guest(WORK)
        self.source, self.target = source, self.receive()
        self.migration = self.migrate(
            source, self.target, "--mode", "post-copy", "--prepaging", "none"
        )
        self.wait_missing(self.target)
        self.wait_walk(self.target)
        # The source counts now and then, so it may know a moment later than the guest.
        report = source.wait_info(
            lambda info: info["migration"]["pages"]["demand"] > 2048, "asked for all that was filled"
        )["migration"]
        self.assertEqual(report["pages"]["pushed"], 0)
        self.assert_pure(self.complete())
        self.finish(source, self.target)

    def test_goes_back_and_forth_in_each_mode(self):
        modes = ("post-copy", "hybrid", "auto") * 2
        visited = [self.busy_guest(cpus=2)]
        for mode, transport, channels in zip(
            modes, itertools.cycle(("tcp", "unix")), itertools.cycle((1, 2, 3))
        ):
            target, report = self.move(
                visited[-1], "--mode", mode, "--verify", "--channels", channels, transport=transport
            )
            self.assertEqual(report["mode"], mode)
            self.assertIs(report["verified"], True)
            visited.append(target)
            target.wait_ticks(10)
        self.finish(*visited)

    def test_of_a_paused_guest_brings_all_of_it_and_leaves_it_paused(self):
        source = self.busy_guest()
        source.cli("pause")
        target, report = self.move(source, "--mode", "post-copy", "--verify")
        self.assert_pure(report)
        self.assertEqual(self.wait_all_here(target)["state"], "paused")
        self.assert_stands_still(target)
        target.cli("resume")
        self.wait_walk(target)
        self.finish(source, target)

    def test_of_a_paused_guest_ends_where_nothing_is_left_to_bring(self):
        """As after the rounds of hybrid, of a guest that writes nothing meanwhile."""
        source = self.busy_guest()
        source.cli("pause")
        target, report = self.move(source, "--mode", "hybrid", "--verify")
        self.assertEqual((report["pages"]["demand"], report["pages"]["pushed"]), (0, 0))
        self.assertEqual(self.wait_all_here(target)["state"], "paused")
        target.cli("resume")
        self.wait_walk(target)
        self.finish(source, target)

    def test_of_5_gib_brings_what_lies_above_4_gib(self):
        image = self.path("elf")
        pages = 300
        high = b"".join(bytes([n % 251 + 1]) * 4096 for n in range(pages))
        with open(image, "wb") as file:
            file.write(images.kernel(images.HALT, (1 << 32, high)))
        source = self.run_vm("", kernel=image, memory="5G")
        source.wait_ready()
        source.wait_info(lambda info: info["state"] == "running", "running")
        target, report = self.move(
            source, "--mode", "post-copy", "--verify", "--compression", "none"
        )
        self.assert_pure(report)
        self.assertEqual(report["pages"]["total"], (5 << 30) // 4096)
        self.assertGreaterEqual(report["pages"]["raw"], pages)
        self.assertLess(report["peak_rss_bytes"]["destination"], 160 << 20)
        self.wait_all_here(target)

    def test_of_5_gib_that_uses_little_sends_little(self):
        source = self.busy_guest("tick=2 fill=16 dirty=500 check end=byte", memory="5G")
        target, report = self.move(source, "--mode", "post-copy")
        self.assert_pure(report)
        self.assertLess(report["wire_bytes"], 24 << 20)
        self.wait_walk(target)
        self.finish(source, target)


@labels("alone", "no-standard-kvm")
class Hybrid(PostCopyTest):
    def test_switches_after_one_round(self):
        source = self.busy_guest(cpus=2)
        target, report = self.move(source, "--mode", "hybrid", "--verify")
        self.assertIn("after 1 round", report["switched"])
        self.assertEqual(len(report["rounds"]), 1)
        self.assert_adds_up(report)
        self.wait_walk(target)
        self.finish(source, target)

    def test_switches_after_as_many_rounds_as_are_asked_for(self):
        source = self.busy_guest(WILD)
        target, report = self.move(
            source, "--mode", "hybrid", "--max-rounds", 3, "--max-bandwidth", "160Mbit",
            "--compression", "none", "--max-downtime", "5ms",
        )
        self.assertIn("after 3 rounds", report["switched"])
        self.assertEqual(len(report["rounds"]), 3)
        self.assert_adds_up(report)
        self.finish(source, target)

    def test_sends_again_what_the_guest_wrote_meanwhile_and_no_more(self):
        source = self.busy_guest(WILD)
        target, report = self.move(
            source, "--mode", "hybrid", "--max-bandwidth", "80Mbit", "--compression", "none"
        )
        pages = report["pages"]
        self.assertGreater(pages["demand"], 0)
        self.assertGreater(pages["demand"] + pages["pushed"], 1000)
        self.assertLessEqual(pages["resent"], pages["demand"] + pages["pushed"])
        self.assert_adds_up(report)
        self.wait_walk(target)
        self.finish(source, target)


@labels("alone", "no-standard-kvm")
class Auto(PostCopyTest):
    def test_stays_pre_copy_for_a_guest_that_writes_little(self):
        source = self.busy_guest("tick=2 fill=8 dirty=50 ws=1 check end=byte")
        target, report = self.move(source)  # the default
        self.assertEqual(report["mode"], "auto")
        self.assertIsNone(report["switched"])
        self.assertEqual(report["faults"]["count"], 0)
        self.assertIsNone(target.info()["arrival"])
        self.finish(source, target)

    def test_sends_all_of_a_rest_that_takes_long(self):
        # Some 8 MiB are left after the first round, and the stop is allowed to take that long. The
        # guest writes a quarter of what the link carries: a slow machine's sender keeps ahead.
        source = self.busy_guest(
            "tick=2 fill=40 zero=0 random=100 text=0 dirty=600 check=2000 end=byte", memory="64M")
        target, report = self.move(
            source, "--max-bandwidth", "80Mbit", "--compression", "none", "--max-downtime", "10s",
            "--verify",
        )
        self.assertIsNone(report["switched"])
        self.assertGreater(report["rounds"][-1]["pages"], 1000)
        self.finish(source, target)

    def test_switches_for_a_guest_that_writes_faster_than_the_link(self):
        source = self.busy_guest(WILD)
        target, report = self.move(
            source, "--max-bandwidth", "80Mbit", "--compression", "none", "--max-downtime", "20ms",
            "--verify",
        )
        self.assertTrue(report["switched"])
        self.assertGreater(report["pages"]["demand"], 0)
        self.assert_adds_up(report)
        self.wait_walk(target)
        self.finish(source, target)


@labels("alone", "no-asan", "no-standard-kvm")
class WhilePagesAreMissing(PostCopyTest):
    def test_info_tells_how_many_and_how_long_the_guest_waited(self):
        self.begin()
        first = self.target.info()
        self.assertEqual(first["state"], "running")
        faults = self.target.wait_info(
            lambda info: info["arrival"]["missing"] < first["arrival"]["missing"]
            and info["arrival"]["faults"]["count"] > 20,
            "fewer pages missing",
        )["arrival"]["faults"]
        histogram = faults["histogram"]
        self.assertEqual(sum(each["count"] for each in histogram), faults["count"])
        bounds = [each["up_to_us"] for each in histogram]
        self.assertEqual(bounds, sorted(set(bounds)))
        self.assertLessEqual(faults["p50_us"], faults["p99_us"])
        self.assertLessEqual(faults["max_us"], bounds[-1])
        at_source = self.source.info()
        self.assertEqual(at_source["state"], "migrating")
        self.assertIn(self.target.address, at_source["owner"])
        self.assertIn("missing", at_source["migration"]["phase"])
        report = self.complete()
        self.assert_pure(report)
        self.finish(self.source, self.target)

    def test_the_guest_can_be_paused_and_resumed(self):
        self.begin()
        self.target.cli("pause")
        missing = self.target.info()
        self.assertEqual(missing["state"], "paused")
        self.assert_stands_still(self.target)
        self.target.wait_info(
            lambda info: info["arrival"]["missing"] < missing["arrival"]["missing"],
            "fed while it is paused",
        )
        self.target.cli("resume")
        self.target.wait_ticks(20)
        self.complete()
        self.touch_all(self.target)
        self.finish(self.source, self.target)

    def test_all_can_come_while_the_guest_is_paused(self):
        self.begin()
        self.target.cli("pause")
        self.complete()
        self.assertEqual(self.target.info()["state"], "paused")
        self.assert_stands_still(self.target)
        self.target.cli("resume")
        self.touch_all(self.target)
        self.finish(self.source, self.target)

    def test_the_guest_cannot_go_on_to_a_third_host(self):
        self.begin()
        third = self.receive()
        refused = self.migrate(self.target, third)
        self.assertEqual(refused.wait(), 1)
        self.assertRegex(refused.stderr.text(), r"\d+ pages of the VM are still to come")
        self.assertEqual(third.state(), "listening")
        self.complete()
        self.migrate(self.target, third, "--verify").report()
        self.finish(self.source, self.target, third)

    def test_the_source_cannot_take_the_guest_back(self):
        self.begin()
        for command in (("cancel",), ("stop",), ("resume",), ("resume", "--force"), ("pause",)):
            refused = self.source.cli(*command, check=False)
            self.assertNotEqual(refused.returncode, 0, command)
            if command == ("cancel",):
                self.assertIn("handed over", refused.stderr)
        self.target.wait_ticks(20)
        self.complete()
        self.finish(self.source, self.target)

    def test_the_cap_holds_for_what_is_pushed_and_not_for_what_is_waited_for(self):
        self.begin("--compression", "none", cmdline=f"{SLOW_WORK} {ALL_RANDOM}")

        def pushed():
            report = self.source.info()["migration"]
            # (A zero page, of which huge pages make some, is pushed for next to nothing.)
            answers = report["pages"]["demand"] * (8 + 16 + 4096)
            return report["total_ms"] / 1000, report["wire_bytes"] - answers

        began, before = pushed()
        self.source.wait_info(
            lambda info: info["migration"]["total_ms"] > 1000 * began + 3000, "3 s on"
        )
        ended, after = pushed()
        # A chunk has 16 pages, and one may be counted at either end.
        slack = 2 * 16 * 4096
        wanted = 250_000 * (ended - began)
        self.assertLess(after - before, 1.1 * wanted + slack)
        self.assertGreater(after - before, 0.7 * wanted - slack)
        report = self.source.info()["migration"]
        faults = self.target.info()["arrival"]["faults"]
        self.assertGreater(faults["count"], 50)
        self.assertLess(faults["p50_us"], 16_000)  # what a single page takes at this cap
        self.assertGreater(report["pages"]["demand"], 50)
        self.complete()
        self.touch_all(self.target)
        self.finish(self.source, self.target)

    def test_set_lifts_the_cap(self):
        self.begin()
        self.source.cli("set", "--max-bandwidth", "8Gbit")
        report = self.migration.report()
        self.assertLess(report["total_ms"], DEADLINE * 1000)
        self.finish(self.source, self.target)

    def test_nothing_is_pushed_until_set_says_so(self):
        self.source = self.busy_guest(SLOW_WORK, memory="64M")
        self.target = self.receive()
        self.migration = self.migrate(
            self.source, self.target, "--mode", "post-copy", "--prepaging", "none"
        )
        self.wait_missing(self.target)
        self.source.wait_info(
            lambda info: info["migration"]["pages"]["demand"] > 200, "asked for pages"
        )
        self.assertEqual(self.source.info()["migration"]["pages"]["pushed"], 0)
        self.source.cli("set", "--prepaging", "bubbling")
        report = self.migration.report()
        self.assertGreater(report["pages"]["pushed"], 5000)
        self.assert_pure(report)
        self.finish(self.source, self.target)

    def test_serial_input_reaches_the_guest(self):
        self.begin(cmdline=f"{SLOW_WORK} echo")
        self.target.write(b"hello\n")
        self.target.stdout.wait_for(rb"^# got 6 bytes ")
        self.complete()
        self.finish(self.source, self.target)


if __name__ == "__main__":
    unittest.main()
