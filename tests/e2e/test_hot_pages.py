"""What the guest writes again and again is held back in a first round that takes long."""

import unittest

from harness import SCALE, FerryTest
from labels import labels


@labels("alone", "no-asan")
class HotPages(FerryTest):
    def move_slowly(self, *args, cpus=1):
        """64 MiB in more than two seconds; 1024 pages in the middle are written all the time."""
        source = self.run_vm(
            "tick=2 fill=64 zero=0 random=100 text=0 dirty=20000 ws=4 ws-at=50 regs check=2000 "
            "end=byte", memory="96M", cpus=cpus)
        source.stdout.wait_for(rb"^# fill done")
        target, report = self.move(source, "--verify", "--max-bandwidth", "200Mbit",
                                   "--compression", "none", *args)
        self.assertIs(report["verified"], True)
        target.wait_ticks(30)
        self.end(target)
        self.assert_sound(source, target)
        return report

    def assert_held_back(self, pages):
        # A slow host may not get to look twice within the first round.
        if SCALE == 1:
            self.assertGreater(pages["held_back"], 100)

    def test_are_held_back_by_pre_copy_and_lose_nothing(self):
        report = self.move_slowly("--mode", "pre-copy", "--channels", 2)
        pages = report["pages"]
        self.assert_held_back(pages)
        self.assertEqual(report["rounds"][0]["pages"] + pages["held_back"],
                         pages["total"] - pages["unpopulated"])

    def test_of_several_vcpus_are_held_back(self):
        report = self.move_slowly("--mode", "pre-copy", cpus=2)
        self.assert_held_back(report["pages"])

    def test_are_left_to_post_copy_by_hybrid(self):
        report = self.move_slowly("--mode", "hybrid")
        pages = report["pages"]
        self.assert_held_back(pages)
        self.assertGreaterEqual(pages["demand"] + pages["pushed"], pages["held_back"])

    def test_are_sent_when_their_turn_comes_if_that_is_wanted(self):
        report = self.move_slowly("--mode", "pre-copy", "--no-hot-last")
        pages = report["pages"]
        self.assertEqual(pages["held_back"], 0)
        self.assertEqual(report["rounds"][0]["pages"], pages["total"] - pages["unpopulated"])


if __name__ == "__main__":
    unittest.main()
