"""Memory reuse: what a host has kept of a VM is not sent again when the VM comes back."""

import unittest

from harness import SCALE
from labels import labels
from post_copy import WORK
from reuse import FEW, QUIET, ReuseTest

MODES = ("pre-copy", "post-copy", "hybrid", "auto", "stop-and-copy")


@labels("alone", "no-tsan")
class ReturnOfAVm(ReuseTest):
    def there_and_back(self, *args, cmdline=QUIET, stores=None, receive=()):
        """Leaves with the image kept and comes back: the way's processes, the return's report."""
        here, there = stores or (self.make_store(), self.make_store())
        source = self.guest_with_store(here, cmdline)
        away, _ = self.leave(source, there, receive=receive)
        self.wait_read(away)
        back, report = self.come_back(away, here, *args)
        self.assert_keeper_ends(source)
        self.finish(source, away, back)
        return report

    def assert_reused(self, report):
        """Nearly all of a guest that wrote next to nothing, of which 4096 pages were filled. Zero
        pages do not count: around what was sent there are some in the huge pages that the VM had at
        the other host."""
        pages = report["pages"]
        self.assertGreater(pages["reused"], 4096 - FEW, pages)
        self.assertLess(pages["raw"] + pages["compressed"], FEW, pages)
        self.assert_pages_add_up(report)

    def test_sends_only_what_changed_in_each_mode(self):
        for mode in MODES:
            with self.subTest(mode):
                self.assert_reused(self.there_and_back("--mode", mode))

    @labels("no-standard-kvm")
    def test_sends_only_what_differs_by_content(self):
        for mode in MODES:
            with self.subTest(mode):
                report = self.there_and_back("--mode", mode, "--reuse", "content")
                self.assert_reused(report)

    @labels("no-standard-kvm")
    def test_finds_by_content_what_was_not_tracked(self):
        self.assert_reused(self.there_and_back(receive=("--tracking", "off")))

    @labels("no-standard-kvm")
    def test_reuses_nothing_when_it_is_told_to(self):
        report = self.there_and_back("--reuse", "off")
        self.assertEqual(report["pages"]["reused"], 0)

    @labels("disk")
    def test_copies_through_a_store_on_a_disk(self):
        stores = self.make_store(on_tmpfs=False), self.make_store(on_tmpfs=False)
        for mode in ("pre-copy", "post-copy"):
            with self.subTest(mode):
                self.assert_reused(self.there_and_back("--mode", mode, stores=stores))

    def test_of_a_guest_that_writes_sends_what_it_wrote(self):
        report = self.there_and_back("--mode", "pre-copy", cmdline=WORK)
        self.assertGreater(report["pages"]["reused"], 500, report["pages"])


@labels("alone", "no-asan")
class AVmWhoseChangesAreTracked(ReuseTest):
    """Its dirty log has run since it arrived, and does not name every page any more."""

    def go_on(self, *args, cmdline):
        """To a third host, which has nothing of it, over a link that takes more than a second."""
        source = self.guest_with_store(self.make_store(), cmdline, memory="64M")
        away, _ = self.leave(source, self.make_store())
        last, report = self.move(away, "--verify", "--compression", "none", *args)
        self.assertIs(report["verified"], True)
        self.assert_pages_add_up(report)
        self.finish(source, away, last)
        return report

    def test_goes_on_by_post_copy_that_begins_within_the_first_round(self):
        # The first two thirds of the pages; of the others the log has none.
        busy = "tick=2 fill=24 zero=0 random=100 text=0 dirty=100000 ws=16 check=500 end=byte"
        report = self.go_on("--max-bandwidth", "80Mbit", "--no-hot-last", cmdline=busy)
        # A slow guest may not write fast enough before the second round.
        self.assertIn("within round 1" if SCALE == 1 else "round", report["switched"])

    def test_goes_on_by_post_copy_after_a_first_round_that_was_watched(self):
        busy = "tick=2 fill=24 zero=0 random=100 text=0 dirty=100000 ws=8 ws-at=60 check=500 end=byte"
        report = self.go_on("--max-bandwidth", "80Mbit", cmdline=busy)
        # After the first round, or a later one where other tests leave the guest little time.
        self.assertIsNotNone(report["switched"])
        self.assertGreater(report["pages"]["held_back"], 50)

    @labels("no-standard-kvm")
    def test_goes_on_by_stop_and_copy(self):
        quiet = "tick=2 fill=24 zero=0 random=100 text=0 check end=byte"
        self.go_on("--mode", "stop-and-copy", "--max-bandwidth", "160Mbit", cmdline=quiet)


@labels("alone")
class PagesThatTheGuestWritesAgainAndAgain(ReuseTest):
    """Without tracking, nobody tells the keeper what changes: only what was seen before counts."""

    def kept_of(self, cmdline):
        """How many of the guest's pages were not kept, after it has left, come back and been
        compared."""
        here = self.make_store()
        source = self.guest_with_store(here, cmdline)
        away, left = self.leave(source, self.make_store(), "--mode", "post-copy",
                                receive=("--tracking", "off"))
        kept = left["kept_image"]["pages"]
        self.assertEqual(self.images(here)[0]["pages_held"], kept)
        back, report = self.come_back(away, here)
        self.assertLessEqual(report["pages"]["reused"], kept)
        self.assert_keeper_ends(source)
        self.finish(source, away, back)
        return left["pages"]["total"] - left["pages"]["unpopulated"] - kept

    @labels("no-standard-kvm")
    def test_are_not_kept_at_all(self):
        given_up = self.kept_of("tick=2 fill=16 dirty=20000 ws=1 check end=byte")
        self.assertLess(given_up, 300)
        if SCALE == 1:  # a slow guest writes few of the 256 between two looks
            self.assertGreater(given_up, 200)

    def test_are_all_that_is_not_kept(self):
        self.assertLess(self.kept_of(QUIET), 16)  # stacks, and the like


if __name__ == "__main__":
    unittest.main()
