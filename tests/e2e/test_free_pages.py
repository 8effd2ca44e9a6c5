"""A guest names its free pages as it leaves, takes them back at any moment, and loses nothing."""

import re
import unittest

from cases import cases
from harness import FerryTest
from labels import labels

MODES = ("pre-copy", "post-copy", "hybrid", "auto", "stop-and-copy")
LEGS = 8


@labels("no-tsan")
class AGuestThatNamesFreePages(FerryTest):
    GUEST = "tick=2 fill=16 dirty=2000 check hints=64 end=byte"

    def run_guest(self, cmdline=GUEST, memory="128M", **options):
        vm = self.run_vm(cmdline, "--balloon", memory=memory, **options)
        vm.wait_ticks(1)
        return vm

    def counts(self, vm):
        """Of a guest that has ended: how often it was asked, blocks it named and took back."""
        found = re.search(rb"(?m)^# end .* hints=(\d+)/(\d+)/(\d+)", vm.stdout.bytes())
        self.assertTrue(found, vm.stdout.text()[-2000:])
        return [int(count) for count in found.groups()]

    def goes_over_legs(self, modes, *options, cpus=1, receive=()):
        vm = self.run_guest(cpus=cpus)
        vms, reports = [vm], []
        for leg in range(LEGS):
            vm, report = self.move(vm, "--verify", "--mode", modes[leg % len(modes)], *options,
                                   receive=receive)
            self.assertIs(report["verified"], True)
            vms.append(vm)
            reports.append(report)
            vm.wait_ticks(26)
        self.end(vm)
        self.assert_sound(*vms)
        runs, named, taken_back = self.counts(vm)
        self.assertLessEqual(runs, LEGS)
        self.assertGreater(taken_back, 0)
        self.assertGreater(named, taken_back)
        return reports

    @cases({f"loses_nothing_by_{mode.replace('-', '_')}": (mode,) for mode in MODES})
    def _loses_nothing(self, mode):
        reports = self.goes_over_legs([mode], "--max-bandwidth", "800Mbit")
        free = [report["pages"]["free"] for report in reports]
        print(mode, free, [r["total_ms"] for r in reports], [r["wire_bytes"]>>20 for r in reports])
        self.assertGreater(sum(free), 1000)

    def test_loses_nothing_on_a_fast_link(self):
        self.goes_over_legs(MODES)

    def test_with_two_vcpus_loses_nothing_on_two_channels(self):
        self.goes_over_legs(MODES, "--channels", "2", cpus=2)


if __name__ == "__main__":
    unittest.main()
