"""The link between two hosts breaks below TCP, in the middle of a pre-copy."""

import unittest

from harness import FerryTest, peer_timeout
from labels import labels
from netns import Link


@labels("network", "no-asan")
class TheNetworkBreaks(FerryTest):
    def begin(self, timeout):
        """A migration in its first round, which takes ten seconds, between two namespaces."""
        self.link = Link()
        self.addCleanup(self.link.close)
        patience = ("--timeout", timeout)
        self.source = self.run_vm("tick=2 fill=32 end=byte", memory="64M", inside=self.link.near)
        self.source.stdout.wait_for(rb"^# fill done")
        self.target = self.receive("tcp", *patience, inside=self.link.far)
        self.migration = self.migrate(
            self.source, self.target, *patience, "--max-bandwidth", "20Mbit", "--compression",
            "none",
        )
        self.source.wait_info(
            lambda info: info.get("migration") and info["migration"]["wire_bytes"] > 100_000,
            "sending",
        )

    def assert_stays(self):
        """The guest runs at the source, and nowhere else; the receiver ends."""
        report = self.migration.report(1)
        self.assertEqual(report["outcome"], "failed")
        self.assertIn("here", report["owner"])
        self.source.wait_ticks(20)
        self.assertEqual(self.source.info()["state"], "running")
        self.assertEqual(self.target.wait(), 69, self.target.stderr.text())
        self.assertEqual(self.target.stdout.bytes(), b"")

    def assert_moves_over_the_link(self):
        third = self.receive("tcp", inside=self.link.far)
        self.assertEqual(self.migrate(self.source, third).report()["outcome"], "completed")
        self.assertEqual(self.source.wait(), 0)
        third.wait_ticks(20)
        self.end(third)
        self.assert_sound(self.source, third)

    def test_and_swallows_every_packet_for_longer_than_the_timeout(self):
        self.begin(peer_timeout(1))
        self.link.fall_silent()
        self.assert_stays()
        self.link.restore()
        self.assert_moves_over_the_link()

    def test_and_resets_both_ends_which_give_up_long_before_the_timeout(self):
        self.begin("600s")
        self.link.cut()
        self.assert_stays()
        self.link.restore()
        self.assert_moves_over_the_link()


if __name__ == "__main__":
    unittest.main()
