"""Frames that cost a peer nothing to repeat, and the other side the time to go through RAM: whoever
repeats them is found out, and the VM stays where it is."""

import unittest

import proxy
from proxy import HEADER, times
from reuse import QUIET, ReuseTest

RANGE_BYTES = 8


class FramesThatAreRepeated(ReuseTest):
    def between(self, receiver, frame, action):
        """The receiver's address, where that is done with the first of these frames."""
        between = proxy.Proxy(receiver.address)
        self.addCleanup(between.close)
        self.rule = between.on(frame, action)
        return between.address

    def assert_stays(self, vm, to, why, *args):
        report = self.migrate(vm, to, *args).report(1)
        self.assertTrue(self.rule.done.is_set(), report)
        self.assertEqual(report["outcome"], "failed")
        self.assertRegex(report["error"], why)
        vm.wait_ticks(10)
        self.end(vm)

    def guest(self):
        vm = self.run_vm("tick=2 fill=4 end=byte")
        vm.stdout.wait_for(rb"^# fill done")
        return vm

    def test_digests(self):
        to = self.between(self.receive(), "digests", times(2))
        self.assert_stays(self.guest(), to, "the digest of a page twice", "--verify")

    def test_which_pages_are_missing(self):
        to = self.between(self.receive(), "missing", times(8))
        self.assert_stays(self.guest(), to, "again and again", "--mode", "post-copy")

    def returns(self, frame, action, why, *args):
        here = self.make_store()
        source = self.guest_with_store(here, QUIET)
        away, _ = self.leave(source, self.make_store())
        self.end_keeper(source)
        back = self.receive("tcp", "--image-store", here)
        self.assert_stays(away, self.between(back, frame, action), why, *args)

    def test_hashes_to_be_compared(self):
        self.returns("hashes", times(2), "the hashes are out of order", "--reuse", "generation")

    def test_that_no_page_is_held(self):
        """Which comes to no end by itself: all pages that are held have to be told."""

        def nothing_thrice(_proxy, _direction, frame):
            head = HEADER.size + RANGE_BYTES
            return 3 * (frame[:head] + bytes(len(frame) - head)) + frame

        self.returns("held", nothing_thrice, "pages held is out of order", "--reuse", "generation")


if __name__ == "__main__":
    unittest.main()
