"""Others fill the store that RAM is in, while the VM is on its way: the guest goes on, or the VM
stays where it was, or it waits for room and says so."""

import os
import re
import time
import unittest

from harness import DEADLINE
from labels import labels
from proxy import Proxy, hold
from reuse import ReuseTest

# Zero pages are holes of the file after an arrival by pre-copy, in blocks that have too little data
# to become huge pages; who reads one needs room.
HOLES = "tick=2 fill=24 zero=92 random=8 text=0 touch=sequential end=byte"
BUSY = "tick=2 fill=32 dirty=5000 check end=byte"


class AStoreThatFillsUp(ReuseTest):
    def arrive_with_holes(self):
        """A VM whose RAM is in a store with room for all of it: where it was, and where it is."""
        self.here = self.mount("size=64m")
        first = self.busy_guest(HOLES)
        vm = self.receive("tcp", "--image-store", self.here)
        report = self.migrate(first, vm, "--mode", "pre-copy").report()
        self.assertEqual(report["outcome"], "completed", report)
        return first, vm

    def touch_in_full_store(self, vm):
        """It goes on, though the machine belongs to the migration."""
        filler = self.fill_up(self.here)
        self.touch_all(vm)
        vm.stderr.wait_for(rb"others have filled the image store .*" + self.here.encode())
        return filler

    def assert_under_way(self, vm, phase):
        vm.wait_info(lambda info: (info["migration"] or {}).get("phase") == phase, phase)


class WhileTheVmLeaves(AStoreThatFillsUp):
    def test_in_a_round_lets_the_guest_go_on(self):
        for mode in ("pre-copy", "hybrid"):
            with self.subTest(mode):
                first, vm = self.arrive_with_holes()
                away = self.receive("tcp", "--image-store", self.make_store())
                migration = self.migrate(vm, away, "--mode", mode, "--verify",
                                         "--keep-image", "--max-bandwidth", "300Kbit")
                self.assert_under_way(vm, "round 1")
                os.remove(self.touch_in_full_store(vm))
                vm.cli("set", "--max-bandwidth", "8Gbit")
                report = migration.report()
                self.assertEqual(report["outcome"], "completed")
                # The image is a copy, and right.
                back, report = self.come_back(away, self.here)
                self.assertGreater(report["pages"]["reused"], 300)
                self.touch_all(back)
                self.finish(first, vm, away, back)

    def test_lets_it_go_on_here_when_the_migration_is_cancelled(self):
        first, vm = self.arrive_with_holes()
        away = self.receive("tcp")
        migration = self.migrate(vm, away, "--mode", "pre-copy", "--max-bandwidth", "300Kbit")
        self.assert_under_way(vm, "round 1")
        self.touch_in_full_store(vm)
        vm.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        vm.wait_ticks(20)
        self.assertEqual(vm.stderr.text().count("others have filled"), 1)
        self.finish(first, vm)


# An emulated guest writes so much that its moves take minutes, and none of it hangs on the processor.
@labels("no-standard-kvm")
class WhileTheVmArrives(AStoreThatFillsUp):
    """In rounds, or with an image, before it lacks pages: RAM is the file then, and has no other
    place. After the handover the VM cannot go back."""

    WAYS = ((False, "hybrid"), (True, "hybrid"), (True, "post-copy"))  # whether it returns, and how

    def set_out(self, returns, mode):
        self.here = self.mount("size=80m")
        if returns:
            first = self.guest_with_store(self.here, BUSY, memory="64M")
            away, _ = self.leave(first, self.make_store())
            away.wait_ticks(20)
            self.legs = [first, away]
        else:
            self.legs = [self.busy_guest(BUSY, memory="64M")]
        self.target = self.receive("tcp", "--image-store", self.here)
        self.between = Proxy(self.target.address)
        self.addCleanup(self.between.close)
        self.room = None
        self.between.on("missing", self.note_room)
        # Slow enough for the guest to write while the first round goes on.
        self.go = lambda: self.migrate(self.legs[-1], self.between.address, "--mode", mode,
                                       "--max-bandwidth", "200Mbit")

    def free(self):
        return os.statvfs(self.here).f_bavail

    def note_room(self, *_):
        self.room = self.free()

    def take_room_of_missing(self):
        """What is missing has been given back by then."""
        end = time.monotonic() + DEADLINE
        while self.free() <= self.room:
            self.assertLess(time.monotonic(), end, "nothing is missing")
            time.sleep(0.005)
        return self.fill_up(self.here)

    def test_before_the_handover_leaves_it_where_it_was(self):
        for returns, mode in self.WAYS:
            with self.subTest(mode=mode, returns=returns):
                self.set_out(returns, mode)
                told_all = self.between.on("post_copy", hold)
                migration = self.go()
                told_all.wait(DEADLINE)
                self.take_room_of_missing()
                self.between.release()
                report = migration.report(1)
                why = "others have filled the image store " + re.escape(self.here)
                self.assertRegex(report["error"], why)
                self.assertEqual(self.target.wait(), 69, self.target.stderr.text())
                self.assertRegex(self.target.stderr.text(), why)
                self.assertEqual(self.legs[-1].info()["state"], "running")
                self.wait_walk(self.legs[-1])
                self.finish(*self.legs)

    def test_after_it_lets_the_vm_wait_for_room(self):
        for returns, mode in self.WAYS:
            with self.subTest(mode=mode, returns=returns):
                self.set_out(returns, mode)
                prepared = self.between.on("commit", hold)
                migration = self.go()
                prepared.wait(DEADLINE)
                filler = self.take_room_of_missing()
                self.between.release()
                self.target.stderr.wait_for(
                    rb"its pages wait at the source for room in the image store "
                    + self.here.encode()
                )
                info = self.target.info()
                self.assertGreater(info["arrival"]["missing"], 0)
                self.assertIn("wait at the source for room", info["owner"])
                os.remove(filler)
                self.assertEqual(migration.report()["outcome"], "completed")
                self.wait_all_here(self.target)
                self.wait_walk(self.target)
                self.assertEqual(self.target.stderr.text().count("the source is back"), 1)
                self.finish(*self.legs, self.target)


if __name__ == "__main__":
    unittest.main()
