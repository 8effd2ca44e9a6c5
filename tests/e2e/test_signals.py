"""Signals to a process with a VM: what it was started to ignore, and what ends it, and when."""

import os
import signal
import time
import unittest

from harness import DEADLINE, FERRY, FerryTest, Process, full_pipe
from labels import labels

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
RANDOM = "zero=0 random=100 text=0"


def ignoring(*numbers):
    def preexec():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return preexec


# ThreadSanitizer may hold back a signal until the thread makes its next call, which one that waits
# does not.
@labels("no-tsan", "no-standard-kvm")
class ASignalToAVm(FerryTest):
    def test_twice_at_once_is_one_wish(self):
        """GNU timeout sends it to the process and to its group."""
        vm = self.run_vm("tick=2")
        vm.wait_ready()
        vm.suspend()
        vm.signal(signal.SIGTERM)
        vm.signal(signal.SIGINT)
        vm.signal(signal.SIGCONT)
        self.assertIn(vm.wait(), (128 + signal.SIGTERM, 128 + signal.SIGINT))
        self.assertNotIn("ends at once", vm.stderr.text())

    def test_that_it_was_started_to_ignore_stays_ignored(self):
        vm = self.run_vm("tick=2", preexec_fn=ignoring(*ENDING, signal.SIGTSTP))
        vm.wait_ready()
        for number in (*ENDING, signal.SIGTSTP):
            vm.signal(number)
        vm.wait_ticks(30)
        self.assertEqual(vm.info()["state"], "running")

    def test_ends_it_with_the_status_of_that_signal(self):
        for number in ENDING:
            with self.subTest(number.name):
                vm = self.run_vm("tick=2")
                vm.wait_ready()
                vm.signal(number)
                self.assertEqual(vm.wait(), 128 + number)

    def test_that_comes_again_does_not_wait_for_a_reader_of_its_output_that_stalls(self):
        reader, writer, _ = full_pipe()
        self.addCleanup(os.close, reader)
        vm = self.run_vm("tick=2", stdout=writer)
        os.close(writer)
        vm.wait_ready()
        vm.signal(signal.SIGTERM)
        statuses = (128 + signal.SIGTERM, 128 + signal.SIGINT)  # whichever the kernel gives first
        self.assertIn(vm.insist(signal.SIGINT, b"ends at once"), statuses)

    def test_to_stop_that_is_taken_back_at_once_stops_nothing(self):
        vm = self.run_vm("tick=2", preexec_fn=lambda: os.setpgid(0, 0))
        vm.wait_ready()
        for pause in range(150):
            vm.signal(signal.SIGTSTP)
            until = time.monotonic() + pause * 5e-6
            while time.monotonic() < until:
                pass
            vm.signal(signal.SIGCONT)
            time.sleep(0.005)  # in which it would stop
            with open(f"/proc/{vm.pid}/stat", encoding="ascii") as stat:
                self.assertNotEqual(stat.read().rsplit(")", 1)[1].split()[0], "T", pause)
        vm.wait_ticks(10)

    def test_that_the_caller_has_blocked_does_not_keep_it_from_pausing(self):
        vm = self.run_vm("tick=2", preexec_fn=lambda: signal.pthread_sigmask(
            signal.SIG_BLOCK, signal.valid_signals()))
        vm.wait_ready()
        vm.cli("pause")
        self.assertEqual(vm.info()["state"], "paused")

    def test_of_a_hangup_without_a_terminal_opens_the_serial_file_anew(self):
        path = self.path("serial")
        vm = self.run_vm("tick=2", "--serial", f"file:{path}", start_new_session=True)
        vm.wait_ready()
        os.rename(path, path + ".1")
        vm.signal(signal.SIGHUP)
        end = time.monotonic() + DEADLINE
        while not os.path.exists(path) or os.path.getsize(path) == 0:
            self.assertLess(time.monotonic(), end, vm.stderr.text())
        self.assertEqual(vm.info()["state"], "running")
        with open(path + ".1", "rb") as old:
            self.assertIn(b"# hello", old.read())


@labels("no-tsan", "no-standard-kvm")
class ASignalToASource(FerryTest):
    def slow_migration(self, *args, cmdline=f"tick=2 fill=16 {RANDOM}"):
        source = self.run_vm(cmdline)
        source.stdout.wait_for(rb"^# fill done")
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "20Mbit", *args)
        return source, target, migration

    def test_cancels_the_migration_first_and_the_client_has_its_report(self):
        source, target, migration = self.slow_migration()
        migration.stderr.wait_for(rb"MiB sent")
        source.signal(signal.SIGTERM)
        self.assertEqual(migration.report(status=1)["outcome"], "cancelled")
        self.assertEqual(source.wait(), 128 + signal.SIGTERM)
        self.assertIn("cancels the migration, then ends", source.stderr.text())
        self.assertEqual(target.wait(), 69)

    def test_to_a_destination_that_hangs_is_not_held_up(self):
        source, target, migration = self.slow_migration()
        migration.stderr.wait_for(rb"MiB sent")
        target.suspend()
        source.signal(signal.SIGINT)
        self.assertEqual(source.wait(), 128 + signal.SIGINT)
        self.assertEqual(migration.report(status=1)["outcome"], "cancelled")
        target.signal(signal.SIGCONT)
        self.assertEqual(target.wait(), 69)


@labels("no-tsan", "no-standard-kvm")
class ASignalToAClient(FerryTest):
    def begin(self, **options):
        source = self.run_vm(f"tick=2 fill=16 {RANDOM}")
        source.stdout.wait_for(rb"^# fill done")
        target = self.receive()
        client = self.start(
            Process, [FERRY, "migrate", "--api-socket", source.api, "--to", target.address,
                      "--max-bandwidth", "20Mbit"], **options)
        client.stderr.wait_for(rb"MiB sent")
        return source, client

    def test_cancels_once_though_it_comes_twice_at_once(self):
        """As GNU timeout sends it."""
        source, client = self.begin()
        client.signal(signal.SIGTERM)
        client.signal(signal.SIGINT)
        self.assertEqual(client.wait(), 1)
        self.assertIn("migration cancelled", client.stderr.text())
        self.assertEqual(source.info()["state"], "running")

    def test_that_it_was_started_to_ignore_does_not_cancel(self):
        source, client = self.begin(preexec_fn=ignoring(signal.SIGINT))
        client.signal(signal.SIGINT)
        source.cli("set", "--max-bandwidth", "unlimited")
        self.assertEqual(client.wait(), 0, client.stderr.text())


if __name__ == "__main__":
    unittest.main()
