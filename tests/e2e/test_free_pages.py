"""A guest names its free pages as it leaves, takes them back at any moment, and loses nothing."""

import re
import unittest

from cases import cases
from labels import labels
from reuse import ReuseTest

MODES = ("pre-copy", "post-copy", "hybrid", "auto", "stop-and-copy")
LEGS = 8


@labels("no-tsan", "no-standard-kvm")
class AGuestThatNamesFreePages(ReuseTest):
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
            self.assert_pages_add_up(report)
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

    @labels("no-asan")
    @cases({f"loses_nothing_by_{mode.replace('-', '_')}": (mode,) for mode in MODES})
    def _loses_nothing(self, mode):
        reports = self.goes_over_legs([mode], "--max-bandwidth", "200Mbit")
        # How much it is on a busy host nobody knows; test_linux has the figures of a real guest.
        self.assertGreater(sum(report["pages"]["free"] for report in reports), 0)

    def test_loses_nothing_on_a_fast_link(self):
        self.goes_over_legs(MODES)

    def test_with_two_vcpus_loses_nothing_on_two_channels(self):
        self.goes_over_legs(MODES, "--channels", "2", cpus=2)

    def test_that_stays_here_is_asked_again(self):
        vm = self.run_guest()
        target = self.receive()
        migration = self.migrate(vm, target, "--max-bandwidth", "8Mbit")
        vm.wait_info(lambda info: info["migration"] and info["migration"]["phase"] == "round 1",
                     "round 1")
        vm.wait_ticks(26)
        vm.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        vm.wait_ticks(26)
        there, report = self.move(vm, "--verify", "--max-bandwidth", "200Mbit")
        self.assertIs(report["verified"], True)
        there.wait_ticks(26)
        self.end(there)
        self.assert_sound(vm, there)
        self.assertGreater(self.counts(there)[0], 0)

    @cases({f"comes_back_by_{mode.replace('-', '_')}_to_an_image_without_them": (mode,)
            for mode in MODES})
    def _comes_back(self, mode):
        here, there = self.make_store(), self.make_store()
        source = self.guest_with_store(here, self.GUEST, "--balloon", memory="128M")
        away, report = self.leave(source, there, "--verify", "--mode", mode,
                                  "--max-bandwidth", "200Mbit")
        self.assertIs(report["verified"], True)
        kept = report["kept_image"]["pages"]
        self.assertLessEqual(kept + report["pages"]["free"] + report["pages"]["unpopulated"],
                             report["pages"]["total"])
        self.wait_read(away)
        back, report = self.come_back(away, here)
        self.assertEqual(report["pages"]["free"], 0)
        self.assertGreater(report["pages"]["reused"], 0)
        self.assert_keeper_ends(source)
        back.wait_ticks(26)
        self.finish(source, away, back)


if __name__ == "__main__":
    unittest.main()
