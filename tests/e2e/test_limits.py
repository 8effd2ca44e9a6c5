"""A process that may have no more descriptors: it says so, and the VM goes on where it is."""

import os
import re
import resource
import subprocess
import time
import unittest

from harness import DEADLINE, FERRY, GUEST, SANITIZED, FerryTest, Process

NO_CRASH = re.compile("internal error|terminate called|core dumped")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def limit(process, number):
    """So many descriptors and no more, or as many as before."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (min(number, hard), hard))


class FewDescriptors(FerryTest):
    def setUp(self):
        if SANITIZED:
            self.skipTest("sanitizers need descriptors of their own, to look at pointers too")
        super().setUp()

    def test_at_the_start_are_a_reason(self):
        for number in range(4, 40):
            with self.subTest(number):
                api = self.path("api")
                done = subprocess.run(
                    [FERRY, "run", "--kernel", GUEST, "--memory", "16M", "--cmdline", "end=ms:1",
                     "--api-socket", api],
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
                    preexec_fn=lambda n=number: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)),
                )
                self.assertNotRegex(done.stderr, NO_CRASH)
                self.assertFalse(os.path.exists(api))
                if done.returncode == 0:
                    return
                self.assertIn(done.returncode, (69, 71, 127), done.stderr)
                self.assertRegex(done.stderr, "Too many open files|shared libraries")
        self.fail("39 descriptors are too few for a VM")

    def test_at_the_source_keep_the_vm_there(self):
        source = self.run_vm("tick=5 fill=8 end=byte")
        source.stdout.wait_for(rb"^# fill done")
        here = descriptors(source)
        for more in range(2, 12):
            target = self.receive("tcp")
            limit(source, here + more)
            migration = self.migrate(source, target, "--channels", "4")
            status = migration.wait()
            limit(source, 1024)
            if status == 0:
                self.assertGreater(more, 2)
                self.assertEqual(source.wait(), 0)
                target.wait_ticks(5)
                return self.end(target)
            self.assertEqual(status, 1, migration.stderr.text())
            self.assertIn("Too many open files",
                          migration.stderr.text() + migration.stdout.text())
            self.assertEqual(source.info()["state"], "running")
            source.wait_ticks(3)
            target.close()
        self.fail("eleven descriptors more are too few to migrate")

    def test_at_the_destination_keep_the_vm_at_its_source(self):
        source = self.run_vm("tick=5 fill=8 end=byte")
        source.stdout.wait_for(rb"^# fill done")
        for more in range(1, 16):
            target = self.receive("tcp", "--timeout", "2s")
            limit(target, descriptors(target) + more)
            migration = self.migrate(source, target, "--channels", "4", "--timeout", "2s")
            if migration.wait() == 0:
                self.assertGreater(more, 2)
                limit(target, 1024)
                target.wait_ticks(5)
                return self.end(target)
            self.assertEqual(source.info()["state"], "running")
            source.wait_ticks(3)
            self.assertNotRegex(target.stderr.text(), NO_CRASH)
            target.close()
        self.fail("fifteen descriptors more are too few to receive")

    def test_do_not_silence_the_control_socket_for_good(self):
        vm = self.run_vm("tick=5 end=byte")
        vm.wait_ready()
        vm.cli("pause")
        limit(vm, descriptors(vm))
        asks = self.start(Process, [FERRY, "info", "--api-socket", vm.api])
        self.assert_waits_without_work(vm)
        self.assertTrue(asks.running())
        limit(vm, 1024)
        self.assertEqual(asks.wait(), 0, asks.stderr.text())
        vm.cli("resume")
        self.assertEqual(vm.info()["state"], "running")
        self.end(vm)

    def test_do_not_silence_a_receiver_for_good(self):
        target = self.receive("tcp")
        target.wait_ready()
        source = self.run_vm("tick=5 end=byte")
        source.wait_ready()
        limit(target, descriptors(target))
        migration = self.migrate(source, target)
        target.stderr.wait_for(rb"accepting a connection failed: Too many open files")
        self.assert_waits_without_work(target)
        self.assertEqual(target.stderr.text().count("accepting"), 1)
        limit(target, 1024)
        self.assertEqual(migration.report()["outcome"], "completed")
        target.wait_ticks(5)
        self.end(target)

    def assert_waits_without_work(self, process, seconds=0.5):
        before = cpu_seconds(process)
        time.sleep(seconds)
        self.assertLess(cpu_seconds(process) - before, seconds / 4)


if __name__ == "__main__":
    unittest.main()
