"""A destination that has too little memory for what the guest uses says so before a page is sent,
instead of being killed when the guest has arrived."""

import unittest

from harness import FerryTest
from small_cgroup import SmallCgroup


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

    def test_refuses_in_post_copy(self):
        self.refuses("post-copy")

    def test_refuses_in_pre_copy(self):
        self.refuses("pre-copy")


if __name__ == "__main__":
    unittest.main()
