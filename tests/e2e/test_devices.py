"""Virtio devices, with a guest that checks what it gets of them, on this host and across legs."""

import re
import unittest

from cases import cases
from harness import FerryTest
from labels import labels

MODES = ("pre-copy", "post-copy", "hybrid", "auto")
LEGS = 8


def of_some_vcpus(device):
    return {
        f"a_guest_with_{vcpus}_keeps_{device}": (cpus,)
        for vcpus, cpus in (("one_vcpu", 1), ("two_vcpus", 2), ("four_vcpus", 4))
    }


def counts(output, name):
    """What the guest counted at its end."""
    found = re.search(rf"\b{name}=(\S+)", output.matching(r"^(end ticks=.*)")[-1][1])
    return [int(count) for count in found[1].split("/")]


class TheEntropyDevice(FerryTest):
    def test_gives_a_guest_bytes_that_differ(self):
        vm = self.run_vm("tick=2 rng end=ticks:200", "--rng")
        self.assertEqual(vm.wait(), 0, vm.stdout.text())
        self.assertGreater(counts(self.assert_sound(vm), "rng")[0], 64)

    def test_is_not_there_unless_it_is_asked_for(self):
        vm = self.run_vm("tick=2 rng end=ticks:200")
        self.assertEqual(vm.wait(), 4)
        self.assertRegex(vm.stdout.text(), r"(?m)^# error option rng: no such device$")


@labels("slow")
class AcrossLegs(FerryTest):
    def go(self, cpus, workload, *options):
        """The output of a guest that went through all modes with these devices."""
        visited = [self.run_vm(
            f"tick=2 fill=8 dirty=2000 ws=2 check regs end=byte {workload}", *options, cpus=cpus)]
        visited[0].stdout.wait_for(rb"^# fill done")
        for leg in range(LEGS):
            target, report = self.move(
                visited[-1], "--verify", "--mode", MODES[leg % len(MODES)])
            self.assertIs(report["verified"], True)
            visited.append(target)
            target.wait_ticks(20)
        self.end(visited[-1])
        return self.assert_sound(*visited)

    @cases(of_some_vcpus("its_entropy_device"))
    def take_the_entropy_device_along(self, cpus):
        self.assertGreater(counts(self.go(cpus, "rng", "--rng"), "rng")[0], 64)


if __name__ == "__main__":
    unittest.main()
