"""Before the stop the guest is watched for a moment at which it writes little."""

import unittest

from harness import SCALE, FerryTest
from labels import labels


@labels("alone", "no-asan")
class StopPolicy(FerryTest):
    def move_slowly(self, writes, *args):
        """64 MiB in more than two seconds. 1 MiB, which takes 42 ms, is written all the time."""
        source = self.run_vm(
            f"tick=2 fill=64 zero=0 random=100 text=0 dirty=20000 ws=1 {writes} regs check=2000 "
            "end=byte", memory="96M")
        source.stdout.wait_for(rb"^# fill done")
        target, report = self.move(source, "--verify", "--max-bandwidth", "200Mbit",
                                   "--compression", "none", "--delta-cache", "0", "--max-downtime",
                                   "80ms", *args)
        self.assertIs(report["verified"], True)
        target.wait_ticks(30)
        self.end(target)
        self.assert_sound(source, target)
        return report

    def test_waits_for_a_while_and_loses_nothing(self):
        for mode in ("pre-copy", "auto"):
            with self.subTest(mode=mode):
                report = self.move_slowly("", "--mode", mode, "--stop-policy", "density")
                # On a slow host the guest may write so little that there is nothing to wait for.
                if SCALE > 1:
                    continue
                self.assertIsNone(report["switched"])
                wait = report["stop_wait"]
                self.assertGreater(wait["ms"], 10)
                self.assertLess(wait["ms"], report["total_ms"] / 3)

    def test_of_a_guest_that_writes_by_bursts_loses_nothing(self):
        waits = [self.move_slowly("burst=300/100", "--mode", "pre-copy", "--stop-policy",
                                  "density")["stop_wait"] for _ in range(3)]
        # A stop may fit in a quiet moment by chance, and on a slow host the guest writes little.
        if SCALE == 1:
            self.assertTrue(any(waits))

    def test_is_cancelled_while_it_waits(self):
        source = self.run_vm(
            "tick=2 fill=64 zero=0 random=100 text=0 dirty=20000 ws=1 regs check=2000 end=byte",
            memory="96M")
        source.stdout.wait_for(rb"^# fill done")
        target = self.receive()
        migration = self.migrate(
            source, target, "--mode", "pre-copy", "--max-bandwidth", "40Mbit", "--compression",
            "none", "--delta-cache", "0", "--max-downtime", "500ms", "--stop-policy", "density")
        source.wait_info(
            lambda info: info["migration"]
            and info["migration"]["phase"] == "waiting for the guest to write less", "waits")
        source.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        source.wait_ticks(30)
        self.end(source)

    def test_at_the_first_fit_waits_for_nothing(self):
        report = self.move_slowly("", "--mode", "pre-copy")
        self.assertIsNone(report["stop_wait"])


if __name__ == "__main__":
    unittest.main()
