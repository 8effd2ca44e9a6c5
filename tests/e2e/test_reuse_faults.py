"""Images of a handover that did not go as planned, and images that were put back by hand."""

import fcntl
import os
import shutil
import unittest

import proxy
from harness import DEADLINE, peer_timeout
from labels import labels
from proxy import cut, hold
from reuse import FEW, SMALL, ReuseTest



@labels("no-tsan", "no-standard-kvm")
class AnOldImage(ReuseTest):
    def copy_of(self, store):
        copy = self.path("copy")
        shutil.copytree(store, copy)
        return copy

    def put_back(self, copy, store):
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        os.chmod(store, 0o700)

    def two_departures(self, here, there):
        """Away, home and away again: the processes, and a copy of the first departure's image."""
        source = self.guest_with_store(here, SMALL + " change=500")
        away, _ = self.leave(source, there)
        self.end_keeper(source)
        old = self.copy_of(here)
        back, _ = self.come_back(away, here)
        back.write(b"c")
        back.stdout.wait_for(rb"^# change 1 done")
        again, _ = self.leave(back, there)
        self.end_keeper(back)
        return [source, away, back, again], old

    def go_home(self, legs, here, *args):
        last, report = self.come_back(legs[-1], here, *args)
        self.assert_pages_add_up(report)
        self.finish(*legs, last)
        return last, report

    def test_is_used_by_content(self):
        here = self.make_store()
        legs, old = self.two_departures(here, self.make_store())
        self.put_back(old, here)
        _, report = self.go_home(legs, here)
        self.assertGreater(report["pages"]["reused"], 1000)
        self.assertLess(report["pages"]["reused"], 2000)  # of some 2060 pages, 500 were written

    def test_is_not_used_where_only_generations_are_asked_for(self):
        here = self.make_store()
        legs, old = self.two_departures(here, self.make_store())
        self.put_back(old, here)
        last, report = self.go_home(legs, here, "--reuse", "generation")
        self.assert_nothing_reused(report)
        last.stderr.wait_for(rb"is not used: the source cannot say exactly what has changed")

    def test_without_tracking_is_not_used_where_only_generations_are_asked_for(self):
        here = self.make_store()
        source = self.guest_with_store(here, SMALL)
        away, _ = self.leave(source, self.make_store(), receive=("--tracking", "off"))
        last, report = self.go_home([source, away], here, "--reuse", "generation")
        self.assert_nothing_reused(report)
        last.stderr.wait_for(rb"is not used: the source cannot say exactly what has changed")
        self.assert_keeper_ends(source)

    def depart_without_hot_pages(self, here):
        """A guest left by post-copy, and the image lacks the pages that it writes often. On a busy
        machine one may write too little while it is watched: then another departs."""
        for _ in range(5):
            source = self.guest_with_store(here, "tick=2 fill=8 dirty=20000 ws=1 check end=byte")
            away, report = self.leave(source, self.make_store(), "--mode", "post-copy",
                                      receive=("--tracking", "off"))
            touched = report["pages"]["total"] - report["pages"]["unpopulated"]
            if report["kept_image"]["pages"] < touched:
                return source, away
            self.end_keeper(source)
            self.finish(source, away)
        self.fail("no guest was seen to write pages often")

    @labels("disk")
    def test_on_a_disk_that_is_not_used_leaves_nothing_in_the_ram_of_post_copy(self):
        here = self.make_store(on_tmpfs=False)
        # RAM that was made of the image would lack its pages.
        source, away = self.depart_without_hot_pages(here)
        last, report = self.go_home([source, away], here, "--reuse", "generation", "--mode",
                                    "post-copy")
        self.assert_nothing_reused(report)
        last.stderr.wait_for(rb"is not used: the source cannot say exactly what has changed")
        self.assert_keeper_ends(source)

    def test_of_this_departure_from_before_pages_were_given_up_is_used_rightly(self):
        here = self.make_store()
        source = self.guest_with_store(here, "tick=2 fill=12 change=700 check end=byte")
        away, _ = self.leave(source, self.make_store())
        old = self.copy_of(here)
        kept = self.images(here)[0]["pages_held"]
        self.wait_read(away)
        away.write(b"c")
        away.stdout.wait_for(rb"^# change 1 done")
        self.wait_held(here, lambda held: held <= kept - 700)
        self.end_keeper(source)
        self.put_back(old, here)
        _, report = self.go_home([source, away], here)
        self.assertGreater(report["pages"]["reused"], kept - 700 - FEW)
        self.assertLessEqual(report["pages"]["reused"], kept - 700)

    def test_of_a_larger_vm_is_not_used(self):
        here = self.make_store()
        ids, ways = [], []
        for memory in ("32M", "48M"):
            source = self.guest_with_store(here, SMALL, memory=memory)
            away, _ = self.leave(source, self.make_store())
            ids.append(source.info()["id"])
            self.end_keeper(source)
            ways.append([source, away])
        for kind in ("ram", "hashes", "image"):
            os.replace(f"{here}/{ids[1]}.{kind}", f"{here}/{ids[0]}.{kind}")
        last, report = self.go_home(ways[0], here)
        self.assert_nothing_reused(report)
        last.stderr.wait_for(rb"image of .* not used: .*that of another VM")
        _, report = self.go_home(ways[1], here)
        self.assert_nothing_reused(report)


@labels("no-asan", "no-standard-kvm")
class AHandover(ReuseTest):
    """Of a VM that shall leave an image; it goes through a proxy that breaks it."""

    def begin(self, here, frame, action, when="before", timeout=10.0):
        patience = ("--timeout", peer_timeout(timeout))
        self.source = self.guest_with_store(here, SMALL)
        self.target = self.receive("tcp", "--image-store", self.make_store(), *patience)
        self.between = proxy.Proxy(self.target.address)
        self.addCleanup(self.between.close)
        rule = self.between.on(frame, action, when)
        self.migration = self.migrate(self.source, self.between.address, *patience, "--keep-image")
        rule.wait(DEADLINE)

    def test_whose_source_is_killed_before_it_knows_leaves_no_image(self):
        for on_tmpfs in (True, False):
            with self.subTest(on_tmpfs=on_tmpfs):
                here = self.make_store(on_tmpfs)
                self.begin(here, "running", hold)
                self.source.kill()
                self.target.wait_ticks(20)
                self.assertEqual(os.listdir(here), [])
                self.target.cli("resume", "--force")  # nobody will acknowledge that it has the VM
                back, report = self.come_back(self.target, here)
                self.assert_nothing_reused(report)
                self.finish(self.source, self.target, back)

    def test_that_fails_leaves_no_image(self):
        here = self.make_store()
        self.begin(here, "prepared", cut)
        self.between.restore()
        self.assertEqual(self.migration.report(1)["outcome"], "failed")
        self.source.wait_ticks(20)
        self.assertEqual(self.images(here), [])
        self.end(self.source)
        self.assertEqual(os.listdir(here), [])

    def test_that_is_ended_by_force_leaves_no_image(self):
        here = self.make_store()
        self.begin(here, "commit", hold, timeout=1.0)
        self.target.kill()
        self.between.cut()
        self.assertEqual(self.migration.report(1)["outcome"], "in-doubt")
        self.source.cli("resume", "--force")
        self.source.wait_ticks(20)
        self.assertEqual(self.images(here), [])
        self.end(self.source)
        self.assert_sound(self.source)

    def test_in_doubt_that_ends_well_leaves_an_image(self):
        here = self.make_store()
        self.begin(here, "running", cut, timeout=1.0)
        self.assertEqual(self.migration.report(1)["outcome"], "in-doubt")
        self.assertEqual(self.images(here), [])
        self.between.restore()
        self.source.wait_info(lambda info: info["state"] == "keeper", "the image's keeper")
        kept = self.images(here)[0]["pages_held"]
        self.wait_read(self.target)
        back, report = self.come_back(self.target, here)
        self.assertGreater(report["pages"]["reused"], kept - FEW)
        self.assert_keeper_ends(self.source)
        self.finish(self.source, self.target, back)


@labels("no-tsan", "no-standard-kvm")
class AStoreThatIsLocked(ReuseTest):
    """By a process that was stopped, say."""

    def lock(self, store):
        held = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX)
        self.addCleanup(os.close, held)

    def test_does_not_hold_up_a_vm_that_arrives_for_longer_than_its_source_waits(self):
        source = self.run_vm(SMALL)
        source.stdout.wait_for(rb"^# fill done")
        store = self.make_store()
        target = self.receive("tcp", "--image-store", store, "--timeout", peer_timeout(2))
        self.lock(store)
        report = self.migrate(source, target, "--timeout", peer_timeout(4)).report()
        self.assertEqual(report["outcome"], "completed")
        self.assertIn("is locked by another process", target.stderr.text())
        self.finish(source, target)

    def test_does_not_keep_the_destination_from_hearing_how_the_vm_came(self):
        store = self.make_store()
        source = self.guest_with_store(store, SMALL)
        target = self.receive("tcp", "--tracking", "off")
        self.lock(store)
        self.migrate(source, target, "--keep-image")
        target.wait_info(lambda info: info["arrived_by"], "told how the VM came")
        self.assertTrue(source.running())  # it still tries to keep the image


if __name__ == "__main__":
    unittest.main()
