"""A guest that watches over itself commutes between two hosts, each of which keeps its image."""

import itertools
import unittest

from labels import labels
from reuse import ReuseTest

MODES = ("pre-copy", "post-copy", "hybrid", "auto", "stop-and-copy")
# Of the 1536 filled pages that this guest never writes again. It reads them as fast as it can, and the
# log names what it has read since it arrived: on a fast machine most of them.
UNTOUCHED = 100


@labels("alone", "slow")
class RoundTrips(ReuseTest):
    def go(self, legs, cpus, on_tmpfs=True, reuse=("auto",)):
        stores = [self.make_store(on_tmpfs) for _ in range(2)]
        visited = [self.guest_with_store(stores[0], cpus=cpus)]
        ways = zip(itertools.cycle(MODES), itertools.cycle(reuse), range(1, legs + 1))
        for mode, how, leg in ways:
            target, report = self.leave(
                visited[-1], stores[leg % 2], "--verify", "--mode", mode, "--reuse", how
            )
            self.assertIs(report["verified"], True)
            self.assert_pages_add_up(report)
            if leg > 1:  # the host has been visited: its keeper has done its part
                pages = report["pages"]
                self.assertGreater(pages["reused"], UNTOUCHED, (leg, mode, pages))
                self.assert_keeper_ends(visited[-2])
            visited.append(target)
            target.wait_ticks(5)
        output = self.finish(*visited)
        self.assertGreater(output.ticks, 5 * legs)
        # The guest has ended away from there: the image of its last leg is of no use to anybody.
        last = stores[(legs - 1) % 2]
        (image,) = self.images(last)
        self.drop(last, image["id"])
        self.assert_keeper_ends(visited[-2])

    def test_of_a_guest_with_one_vcpu_loses_nothing_over_twenty_legs(self):
        self.go(20, 1)

    def test_of_a_guest_with_two_vcpus_loses_nothing_over_twenty_legs(self):
        self.go(20, 2)

    def test_loses_nothing_when_contents_are_compared(self):
        self.go(11, 1, reuse=("content", "auto"))

    @labels("disk")
    def test_loses_nothing_with_stores_on_disks(self):
        self.go(6, 2, on_tmpfs=False, reuse=("auto", "auto", "content"))


if __name__ == "__main__":
    unittest.main()
