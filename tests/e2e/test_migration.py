"""One migration at a time: transports, modes, and options."""

import signal
import struct
import time
import unittest

import images
import proxy
from harness import DEADLINE, SANITIZED, peer_timeout
from labels import labels
from migration import MigrationTest


@labels("alone", "no-asan", "no-tsan")
class AMigration(MigrationTest):
    def move_and_verify(self, *args, transport="tcp", cpus=1):
        source = self.busy_guest(cpus=cpus)
        target, report = self.move(source, "--verify", *args, transport=transport)
        self.assertIs(report["verified"], True)
        self.assertEqual(report["transport"], transport)
        self.finish(source, target)
        return report

    def test_goes_over_tcp(self):
        self.assertEqual(self.move_and_verify("--mode", "pre-copy")["mode"], "pre-copy")

    def test_goes_over_a_unix_socket(self):
        self.move_and_verify(transport="unix")

    def test_takes_a_guest_with_four_vcpus(self):
        self.move_and_verify(cpus=4)

    def test_by_stop_and_copy_sends_every_page_once(self):
        report = self.move_and_verify("--mode", "stop-and-copy")
        self.assertEqual(report["mode"], "stop-and-copy")
        self.assertEqual(len(report["rounds"]), 1)
        self.assertEqual(report["pages"]["resent"], 0)

    def test_over_two_channels(self):
        self.assertEqual(self.move_and_verify("--channels", 2)["channels"], 2)

    def test_over_channels_as_needed_takes_one_under_a_low_cap(self):
        source = self.busy_guest(cmdline="tick=2 fill=20 end=byte")
        target, report = self.move(source, "--max-bandwidth", "80Mbit", "--compression", "none")
        self.assertEqual(report["channels"], 1)
        self.finish(source, target)

    def test_over_four_channels_with_lz4(self):
        report = self.move_and_verify("--channels", 4, "--compression", "lz4")
        self.assertGreater(report["pages"]["compressed"], 0)

    @labels("no-standard-kvm")
    def test_without_compression_compresses_nothing(self):
        report = self.move_and_verify("--compression", "none")
        self.assertEqual(report["pages"]["compressed"], 0)

    @labels("no-standard-kvm")
    def test_with_lz4_takes_fewer_bytes_than_without(self):
        sizes = {}
        for compression in ("lz4", "none"):
            source = self.busy_guest(cmdline="tick=2 fill=8 end=byte")
            target, report = self.move(source, "--compression", compression)
            sizes[compression] = report["wire_bytes"]
            self.finish(source, target)
        self.assertLess(sizes["lz4"], 0.75 * sizes["none"])

    @labels("no-standard-kvm")
    def test_of_a_paused_guest_leaves_it_paused(self):
        source = self.busy_guest()
        source.cli("pause")
        target, _ = self.move(source, "--verify")
        self.assertEqual(target.info()["state"], "paused")
        self.assert_stands_still(target)
        target.cli("resume")
        self.finish(source, target)

    @labels("no-standard-kvm")
    def test_goes_by_no_wall_clock(self):
        """The state is changed on its way, as if the source's wall clock were an hour behind."""
        head = struct.Struct("<8sIIQIIQ")  # id, version, size; clock, flags, padding, realtime
        clock_realtime = 4  # in the flags

        def an_hour_behind(payload):
            at = payload.index(b"vm/clock")
            *before, _, padding, _ = head.unpack_from(payload, at)
            changed = bytearray(payload)
            realtime = time.time_ns() - 3600 * 10**9
            head.pack_into(changed, at, *before, clock_realtime, padding, realtime)
            return bytes(changed)

        source = self.busy_guest()
        target = self.receive()
        between = proxy.Proxy(target.address)
        self.addCleanup(between.close)
        between.on("state", proxy.payload(an_hour_behind))
        # Verifying compares the guest's clock as it was saved and as it is there.
        report = self.migrate(source, between.address, "--verify").report()
        self.assertEqual((report["outcome"], report["error"]), ("completed", None))
        self.finish(source, target)

    def test_carries_the_name_and_the_id(self):
        source = self.busy_guest("--name", "porto", cpus=2)
        before = source.info()
        target, _ = self.move(source)
        after = target.info()
        for field in ("id", "name", "cpus", "memory"):
            self.assertEqual(after[field], before[field])
        self.finish(source, target)

    def test_of_a_guest_that_ends_on_the_way_ends_as_the_guest_did(self):
        source = self.busy_guest(cmdline="tick=2 fill=32 end=byte", memory="64M")
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "8Mbit")
        self.in_first_round(source)
        source.write(b"q")
        self.assertEqual(source.wait(), 0, source.stderr.text())
        self.assertEqual(migration.wait(), 1)
        self.assertEqual(target.wait(), 69)
        self.assert_sound(source)

    @labels("no-standard-kvm")
    def test_is_refused_while_another_one_runs(self):
        source = self.large_guest()
        first, second = self.receive(), self.receive()
        migration = self.migrate(source, first, "--max-bandwidth", "8Mbit")
        self.in_first_round(source)
        refused = self.migrate(source, second)
        self.assertEqual(refused.wait(), 1)
        self.assertRegex(refused.stderr.text(), r"(?i)migrat")
        source.cli("cancel")
        migration.report(1)
        self.assertTrue(second.running())
        source.wait_ticks(20)


# Under ThreadSanitizer compressing is too slow to pay.
@labels("alone", "speed")
class TheBandwidthCap(MigrationTest):
    def assert_holds(self, megabits, *options):
        # Slow enough that a busy machine keeps up: only the cap decides, except where a sanitizer
        # takes the time.
        source = self.busy_guest(cmdline="tick=2 fill=20 end=byte")
        target, report = self.move(
            source, "--max-bandwidth", f"{megabits}Mbit", "--max-downtime", "1ms", *options
        )
        rate = report["wire_bytes"] / (report["total_ms"] / 1000)
        share = rate / (megabits * 1e6 / 8)
        self.assertLessEqual(share, 1.05)
        self.assertGreaterEqual(share, 0.75 if SANITIZED else 0.95)
        self.finish(source, target)

    def test_holds_within_five_per_cent(self):
        self.assert_holds(40, "--compression", "none")

    def test_holds_over_four_channels_with_compression(self):
        self.assert_holds(24, "--channels", 4, "--compression", "lz4")

    def test_holds_with_digests(self):
        # 16 384 touched pages of zeros: next to nothing but digests is sent.
        source = self.busy_guest(cmdline="tick=2 fill=64 zero=100 random=0 text=0 end=byte",
                                 memory="80M")
        target, report = self.move(source, "--verify", "--max-bandwidth", "2Mbit")
        self.assertGreater(report["wire_bytes"], 100_000)
        rate = report["wire_bytes"] / (report["total_ms"] / 1000)
        self.assertLessEqual(rate, 1.05 * 2e6 / 8)
        self.finish(source, target)

    def test_can_be_lifted_while_the_migration_runs(self):
        source = self.large_guest()
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "2Mbit")  # 90 s
        self.in_first_round(source)
        source.cli("set", "--max-bandwidth", "8Gbit")
        report = migration.report()
        self.assertLess(report["total_ms"], DEADLINE * 1000)
        self.assertEqual(source.wait(), 0)
        self.finish(source, target)

    def test_makes_auto_compress_what_pays(self):
        source = self.large_guest()
        target, report = self.move(source, "--max-bandwidth", "100Mbit")
        self.assertGreater(report["pages"]["compressed"], report["pages"]["raw"])
        self.finish(source, target)


@labels("alone", "no-asan", "no-standard-kvm")
class AGuestThatWritesFasterThanTheLink(MigrationTest):
    def test_is_stopped_once_the_downtime_that_it_needs_is_allowed(self):
        # 2 MiB are written over again in every round, and take 0.2 s at this rate.
        source = self.busy_guest(
            cmdline="tick=2 fill=8 zero=0 random=100 text=0 dirty=20000 ws=2 end=byte")
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "80Mbit", "--max-rounds", 1000,
                                 "--compression", "none", "--max-downtime", "1ms")
        info = source.wait_info(
            lambda info: info.get("migration") and len(info["migration"]["rounds"]) >= 4, "round 5")
        self.assertEqual(info["migration"]["outcome"], "running")
        source.cli("set", "--max-downtime", "2s")
        report = migration.report()
        self.assertEqual(report["outcome"], "completed")
        self.assertLess(report["total_ms"], DEADLINE * 1000)
        self.assertLess(len(report["rounds"]), 1000)
        self.assertGreater(report["downtime_ms"], 1)
        self.assertEqual(source.wait(), 0)
        self.finish(source, target)

    def migrate_at_80_megabits(self, *args):
        # 8 MiB are written over again in less time than the link needs for them.
        source = self.busy_guest(cmdline="tick=2 fill=8 zero=0 random=100 text=0 dirty=20000 end=byte")
        target, report = self.move(
            source, "--mode", "pre-copy", "--max-bandwidth", "80Mbit", "--max-rounds", 4,
            "--compression", "none", "--max-downtime", "20ms", *args
        )
        self.finish(source, target)
        return report["rounds"]

    def test_is_stopped_after_the_last_round(self):
        rounds = self.migrate_at_80_megabits()
        self.assertEqual(len(rounds), 5)  # four, and the one after the stop
        self.assertEqual([each["throttle"] for each in rounds], [0] * 5)

    def test_is_slowed_step_by_step_if_that_is_allowed(self):
        slowed = [each["throttle"] for each in self.migrate_at_80_megabits("--throttle")]
        self.assertEqual(slowed[0], 0)
        self.assertGreater(slowed[1], 0)
        self.assertEqual(slowed, sorted(slowed))
        self.assertGreater(slowed[3], slowed[1])


@labels("alone", "no-standard-kvm")
class ACancelledMigration(MigrationTest):
    def begin(self):
        self.source = self.large_guest()
        self.target = self.receive()
        self.migration = self.migrate(self.source, self.target, "--max-bandwidth", "8Mbit")
        self.in_first_round(self.source)

    def assert_stayed(self):
        report = self.migration.report(1)
        self.assertEqual(report["outcome"], "cancelled")
        self.assertEqual(self.target.wait(), 69)
        self.assertIn("cancel", self.target.stderr.text())
        self.assertEqual(self.target.stdout.bytes(), b"")
        self.assertEqual(self.source.info()["state"], "running")

    def test_leaves_the_guest_running_and_free_to_move_again(self):
        self.begin()
        self.source.cli("cancel")
        self.assert_stayed()
        target, _ = self.move(self.source, "--verify")
        self.finish(self.source, target)

    def test_by_interrupting_migrate_leaves_the_guest_running(self):
        self.begin()
        self.migration.signal(signal.SIGINT)
        self.assert_stayed()
        self.finish(self.source)

    def test_of_a_paused_guest_leaves_it_paused(self):
        source = self.large_guest()
        source.cli("pause")
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "8Mbit")
        self.in_first_round(source)
        source.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        self.assertEqual(source.info()["state"], "paused")
        self.assert_stands_still(source)
        source.cli("resume")
        self.finish(source)

    def test_needs_a_migration(self):
        source = self.run_vm("tick=2 end=byte")
        source.wait_ticks(1)
        self.assertNotEqual(source.cli("cancel", check=False).returncode, 0)
        self.assertNotEqual(
            source.cli("set", "--max-bandwidth", "1Gbit", check=False).returncode, 0
        )
        self.end(source)

    def test_before_the_peer_answers_leaves_the_guest_running(self):
        source = self.run_vm("tick=2 end=byte")
        between = proxy.Proxy("tcp:127.0.0.1:1")
        self.addCleanup(between.close)
        between.fall_silent()
        source.wait_ready()
        migration = self.migrate(source, between.address, "--timeout", peer_timeout(60))
        source.wait_info(lambda info: info.get("migration"), "migrating")
        source.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        self.finish(source)


@labels("alone", "no-tsan")
class ALargeGuest(MigrationTest):
    def test_of_4_gib_that_uses_little_sends_little(self):
        source = self.busy_guest(cmdline="tick=2 fill=16 end=byte", memory="4G")
        target, report = self.move(source, "--verify")
        self.assertEqual(report["pages"]["total"], (4 << 30) // 4096)
        self.assertLess(report["wire_bytes"], 24 << 20)
        self.assertGreater(report["pages"]["unpopulated"], 0.98 * report["pages"]["total"])
        self.assertLess(report["peak_rss_bytes"]["destination"], 128 << 20)
        self.finish(source, target)

    @labels("no-asan", "no-standard-kvm")
    def test_of_a_tebibyte_that_uses_little_needs_little(self):
        """A bit for each page of it would take 32 MiB."""
        for mode in ("pre-copy", "post-copy"):
            with self.subTest(mode=mode):
                source = self.run_vm("tick=2 fill=16 dirty=500 check regs end=byte", "--overcommit",
                                     memory="1024G")
                source.stdout.wait_for(rb"^# fill done")
                target, report = self.move(source, "--mode", mode, receive=("--overcommit",))
                self.assertEqual(report["pages"]["total"], (1 << 40) // 4096)
                self.assertLess(report["wire_bytes"], 32 << 20)
                for side in ("source", "destination"):
                    self.assertLess(report["peak_rss_bytes"][side], 144 << 20)
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
        _, report = self.move(source, "--verify", "--compression", "none")
        self.assertIs(report["verified"], True)
        self.assertEqual(report["pages"]["total"], (5 << 30) // 4096)
        self.assertGreaterEqual(report["pages"]["raw"], pages)


if __name__ == "__main__":
    unittest.main()
