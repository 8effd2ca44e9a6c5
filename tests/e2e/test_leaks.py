"""Nothing is left of a migration that did not come about."""

import unittest

import harness
from harness import FerryTest, process_counts

WARM_UP = 5  # allocators and lazily made parts
TIMES = 200


class BegunAndCancelled(FerryTest):
    def begin_and_cancel(self, source):
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "8Mbit", "--channels", 2)
        source.wait_info(
            lambda info: info["migration"] and info["migration"]["outcome"] == "running"
            and info["migration"]["phase"] == "round 1",
            "sending",
        )
        source.cli("cancel")
        self.assertEqual(migration.report(1)["outcome"], "cancelled")
        self.assertEqual(target.wait(), 69, target.stderr.text())
        for process in (migration, target):
            process.close()

    def test_migrations_leave_descriptors_threads_and_memory_where_they_were(self):
        source = self.run_vm("tick=5 fill=16 end=byte", memory="64M")
        source.stdout.wait_for(rb"^# fill done")
        for _ in range(WARM_UP):
            self.begin_and_cancel(source)
        before = process_counts(source.pid)
        for _ in range(TIMES):
            self.begin_and_cancel(source)
        after = process_counts(source.pid)
        self.assertEqual(after["descriptors"], before["descriptors"])
        self.assertEqual(after["threads"], before["threads"])
        slack_kib = 64 << 10 if harness.SANITIZED else 1 << 10  # AddressSanitizer's quarantine
        self.assertLess(after["resident_kib"], before["resident_kib"] + slack_kib)
        self.move(source, "--verify")[0].wait_ticks(10)


if __name__ == "__main__":
    unittest.main()
