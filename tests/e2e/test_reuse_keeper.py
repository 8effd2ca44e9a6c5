"""The process that left and keeps the image: what it gives up meanwhile, how it ends, and what
becomes of the image when it or somebody else is killed."""

import unittest

import proxy
from harness import DEADLINE, peer_timeout
from labels import labels
from proxy import hold
from reuse import FEW, QUIET, SMALL, ReuseTest

WRITES = "tick=2 fill=12 dirty=4000 ws=4 check end=byte"


class KeeperTest(ReuseTest):
    def go_away(self, cmdline=SMALL, *args, **options):
        self.here, self.there = self.make_store(), self.make_store()
        self.source = self.guest_with_store(self.here, cmdline)
        self.away, left = self.leave(self.source, self.there, *args, **options)
        self.learn(left)
        if "check" in cmdline:
            self.wait_read(self.away)

    def learn(self, left):
        """Of the pages that the guest has touched, some may not be kept, as it writes them often."""
        self.kept = left["kept_image"]["pages"]
        self.touched = left["pages"]["total"] - left["pages"]["unpopulated"]

    def return_home(self, *args):
        self.back, report = self.come_back(self.away, self.here, *args)
        self.assert_pages_add_up(report)
        self.finish(self.source, self.away, self.back)
        return report

    def assert_nearly_all_reused(self, report):
        self.assertGreater(report["pages"]["reused"], self.kept - FEW, report["pages"])

    def wait_held_below(self, pages):
        return self.wait_held(self.here, lambda held: held < pages)


@labels("no-asan", "no-standard-kvm")
class TheKeeper(KeeperTest):
    def test_says_what_it_is(self):
        self.go_away()
        info = self.source.info()
        self.assertEqual(info["state"], "keeper")
        self.assertIn("image is kept here", info["owner"])
        (image,) = self.images(self.here)
        self.assertEqual((image["id"], image["memory"]), (info["id"], 32 << 20))
        self.assert_nearly_all_reused(self.return_home())
        self.assert_keeper_ends(self.source)

    def test_gives_up_what_the_guest_changes(self):
        self.go_away(WRITES)
        held = self.wait_held_below(self.touched - 900)  # the working set has 1024 pages
        self.assertGreaterEqual(held, self.touched - 1024 - FEW)
        report = self.return_home()
        self.assertGreater(report["pages"]["reused"], held - FEW)
        self.assertLessEqual(report["pages"]["reused"], held)
        self.assert_keeper_ends(self.source)

    @labels("disk")
    def test_gives_up_pages_of_an_image_on_a_disk(self):
        self.here, self.there = self.make_store(on_tmpfs=False), self.make_store()
        self.source = self.guest_with_store(self.here, WRITES)
        self.away, left = self.leave(self.source, self.there)
        self.learn(left)
        self.wait_held_below(self.touched - 900)
        self.assertGreater(self.return_home()["pages"]["reused"], self.touched - 1024 - FEW)

    def test_ends_when_the_image_is_dropped(self):
        self.go_away()
        (image,) = self.images(self.here)
        self.drop(self.here, image["id"])
        self.assert_keeper_ends(self.source)
        self.assert_nothing_reused(self.return_home())

    def test_leaves_the_image_when_it_is_stopped(self):
        self.go_away()
        self.end_keeper(self.source)
        self.assert_nearly_all_reused(self.return_home())

    def test_leaves_the_image_when_it_is_killed(self):
        self.go_away(QUIET)
        self.source.kill()
        self.away.wait_ticks(20)
        self.assert_nearly_all_reused(self.return_home())

    def test_that_is_killed_amid_changes_leaves_an_image_that_is_right(self):
        self.go_away("tick=2 fill=12 change=700 check end=byte")
        self.away.write(b"c")
        self.wait_held_below(self.kept)  # the first changes have been told
        self.source.kill()
        self.away.stdout.wait_for(rb"^# change 1 done")
        self.assertGreater(self.return_home()["pages"]["reused"], self.touched - 700 - FEW)

    def test_runs_no_guest_and_takes_no_order_for_one(self):
        self.go_away()
        for command in ("resume", "pause"):
            self.assertNotEqual(self.source.cli(command, check=False).returncode, 0)
        self.assertNotEqual(self.migrate(self.source, self.away).wait(), 0)
        self.assert_stands_still(self.source)
        self.assertEqual(self.source.state(), "keeper")
        self.assert_nearly_all_reused(self.return_home())


@labels("no-asan", "no-standard-kvm")
class ALostLinkToTheKeeper(KeeperTest):
    def through_proxy(self, target):
        self.between = proxy.Proxy(target.address)
        self.addCleanup(self.between.close)
        return self.between.address

    def go_away(self, cmdline=WRITES):
        super().go_away(cmdline, to=self.through_proxy)

    def test_is_taken_up_again(self):
        self.go_away()
        self.between.cut()
        self.away.wait_ticks(100)
        self.between.restore()
        self.wait_held_below(self.touched - 900)
        self.return_home()
        self.assert_keeper_ends(self.source)

    def test_is_taken_up_again_with_all_that_was_told_before(self):
        self.go_away("tick=2 fill=12 change=700 end=byte")
        self.away.write(b"c")
        self.away.stdout.wait_for(rb"^# change 1 done")
        self.between.cut()
        self.between.restore()
        self.wait_held_below(self.kept - 650)
        self.return_home()

    def test_for_good_costs_nothing_but_pages(self):
        self.go_away()
        self.between.cut()
        self.away.wait_ticks(600)
        report = self.return_home()
        self.assertGreater(report["pages"]["reused"], self.touched - 1024 - FEW)
        self.assert_keeper_ends(self.source)


@labels("no-standard-kvm")
class AReturnThatFails(KeeperTest):
    def break_return(self, *args):
        """Up to the middle: the guest is on its way home, and what it sends is held back."""
        patience = ("--timeout", peer_timeout(10.0))
        self.back = self.receive("tcp", "--image-store", self.here, *patience)
        between = proxy.Proxy(self.back.address)
        self.addCleanup(between.close)
        rule = between.on("round_end", hold)
        migration = self.migrate(self.away, between.address, *patience, *args)
        rule.wait(DEADLINE)
        return migration

    def assert_goes_home_in_full(self, migration):
        self.assertEqual(migration.report(1)["outcome"], "failed")
        self.assert_keeper_ends(self.source)
        self.away.wait_ticks(20)
        self.assertEqual(self.images(self.here), [])
        self.assert_nothing_reused(self.return_home())

    def test_as_the_receiver_is_killed_leaves_a_guest_that_goes_home_in_full(self):
        self.go_away()
        migration = self.break_return()
        self.back.kill()
        self.assert_goes_home_in_full(migration)

    def test_as_it_is_cancelled_leaves_a_guest_that_goes_home_in_full(self):
        self.go_away()
        migration = self.break_return()
        self.away.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        self.back.wait()
        self.assert_keeper_ends(self.source)
        self.away.wait_ticks(20)
        self.assert_nothing_reused(self.return_home())

    def test_and_was_to_keep_an_image_keeps_none(self):
        self.go_away()
        migration = self.break_return("--keep-image")
        self.back.kill()
        self.assertEqual(migration.report(1)["outcome"], "failed")
        self.assertEqual(self.images(self.there), [])
        self.assertEqual(self.away.info()["state"], "running")
        self.return_home()


if __name__ == "__main__":
    unittest.main()
