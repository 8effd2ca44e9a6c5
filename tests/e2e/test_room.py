"""A destination that has too little memory for what the guest uses says so before a page is sent,
instead of being killed when the guest has arrived."""

import unittest

from harness import GUEST, SANITIZED, FerryTest
from labels import labels
from small_cgroup import SmallCgroup


@labels("no-standard-kvm")
class ADestinationWithLittleMemory(FerryTest):
    def refuses(self, mode):
        cgroup = SmallCgroup(48 << 20)
        self.addCleanup(cgroup.remove)
        source = self.run_vm("tick=5 fill=90", memory="128M")
        source.wait_ticks(5)
        target = self.receive("tcp", inside=cgroup)
        migration = self.migrate(source, target, "--mode", mode)
        report = migration.report(1)
        self.assertRegex(report["error"], r"the guest needs .* MiB of memory and the cgroup .* has")
        self.assertEqual(report["downtime_ms"], 0)
        self.assertEqual(report["pages"]["raw"] + report["pages"]["compressed"], 0)
        self.assertEqual(source.info()["state"], "running")
        source.wait_ticks(5)
        target.close()
        source.close()

    def test_counts_what_its_neighbours_are_promised(self):
        """Each of two VMs fits, and both together do not."""
        if SANITIZED:
            self.skipTest("a sanitized process needs as much itself")
        cgroup = SmallCgroup(200 << 20)
        self.addCleanup(cgroup.remove)
        sources = [self.run_vm("tick=5 fill=90 zero=0 random=100 text=0", memory="128M")
                   for _ in range(2)]
        for source in sources:
            source.stdout.wait_for(rb"^# fill done")
        first, second, third = (self.receive("tcp", inside=cgroup) for _ in range(3))
        under_way = self.migrate(sources[0], first, "--max-bandwidth", "40Mbit")
        first.wait_info(lambda info: info["state"] == "receiving", "receiving")
        report = self.migrate(sources[1], second).report(1)
        self.assertRegex(report["error"], r"the cgroup .* has .* left, of which .* are promised to "
                                          r"VMs that are arriving.*--overcommit")
        self.assertEqual(sources[1].info()["state"], "running")
        # What is not to come any more is nobody's.
        sources[0].cli("cancel")
        self.assertEqual(under_way.report(1)["outcome"], "cancelled")
        first.wait()
        second.close()
        self.assertEqual(self.migrate(sources[1], third).report()["outcome"], "completed")
        third.close()
        sources[0].close()

    def test_refuses_in_post_copy(self):
        self.refuses("post-copy")

    def test_refuses_in_pre_copy(self):
        self.refuses("pre-copy")


class MoreMemoryThanTheHostHas(FerryTest):
    def test_is_refused_unless_it_is_asked_for(self):
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            fields = dict(line.split(":") for line in meminfo)
        total = sum(int(fields[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
        memory = f"{(total >> 10) + 1024}M"
        refused = self.ferry("run", "--kernel", GUEST, "--memory", memory)
        self.assertEqual(refused.status, 69)
        self.assertRegex(refused.stderr.text(), r"this host has .* in all.*--overcommit")
        source = self.run_vm("tick=5 end=byte", "--overcommit", memory=memory)
        source.wait_ticks(5)
        target = self.receive("tcp")
        report = self.migrate(source, target).report(1)
        self.assertRegex(report["error"], r"this host has .* in all.*--overcommit")
        target.close()
        target = self.receive("tcp", "--overcommit")
        self.assertEqual(self.migrate(source, target).report()["outcome"], "completed")
        target.wait_ticks(5)
        self.end(target)


@labels("no-asan", "no-standard-kvm", "no-tsan")  # a sanitized process needs more itself
class ASourceWithLittleMemory(FerryTest):
    def test_is_not_ended_by_what_its_migration_takes(self):
        """A VM of this size would have a cache for deltas of 32 MiB."""
        cgroup = SmallCgroup(1 << 40)
        self.addCleanup(cgroup.remove)
        source = self.run_vm(
            "tick=2 fill=200 zero=0 random=100 text=0 dirty=3000 ws=60 check end=byte",
            memory="256M", inside=cgroup)
        source.stdout.wait_for(rb"^# fill done")
        cgroup.leave_room(12 << 20)
        target, report = self.move(source, "--max-bandwidth", "800Mbit", "--max-downtime", "2ms",
                                   "--max-rounds", "10", "--mode", "pre-copy")
        self.assertGreater(report["delta_cache_bytes"], 0)
        self.assertLess(report["delta_cache_bytes"], 2 << 20)
        self.end(target)
        self.assert_sound(source, target)
        source.close()


if __name__ == "__main__":
    unittest.main()
