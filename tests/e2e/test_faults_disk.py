"""The link breaks at each message of the handover of a guest with a disk, or a third takes the disk."""

import fcntl
import os
import signal
import struct
import threading
import unittest

from cases import cases
from handover import HandoverTest
from harness import DEADLINE
from labels import labels
from proxy import cut, fall_silent, hold


class Thief:
    """Waits for a file's lock, and keeps it."""

    def __init__(self, path):
        self.has_it = threading.Event()
        self._file = open(path, "rb+")
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self):
        F_OFD_SETLKW = 38
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(self._file, F_OFD_SETLKW, whole)
        self.has_it.set()

    def close(self):
        self._file.close()


@labels("no-asan", "no-standard-kvm", "no-tsan")
class ADiskWhenTheLinkBreaks(HandoverTest):
    """As for any guest (test_faults_link), but that nobody runs it without its disk."""

    workload = "disk=64"

    def begin(self, *options, **more):
        path = self.path("disk")
        with open(path, "wb") as file:
            file.truncate(1 << 20)
        self.devices = ("--disk", path)
        self.parts = ("--disk", f"id=disk0,{path}")
        super().begin(*options, **more)

    @cases({
        "before_accept": ("accept", cut, "before"),
        "in_the_first_round": ("landed", cut, "before"),
        "before_the_state": ("state", cut, "before"),
        "before_the_last_round": ("last_round", cut, "before"),
        "silently_before_the_last_round": ("last_round", fall_silent, "before"),
    })
    def stays_with_its_guest(self, frame, action, when):
        self.break_before_prepared(frame, action, when)

    @cases({"and_is_cut": (cut,), "and_falls_silent": (fall_silent,)})
    def at_prepared_nobody_has_it_until_the_target_hears_of_it(self, action):
        self.begin()
        self.break_at("prepared", action, "before")
        self.source.stderr.wait_for(rb"paused until it can be resumed: .* is in use by another")
        self.assert_stands_still(self.source, self.target)
        self.between.restore()
        self.assert_stays()
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_that_a_third_takes_meanwhile_leaves_its_guest_paused_until_it_is_free(self):
        """The source has given it back, and the target does not know yet that it may take it."""
        self.begin()
        self.break_at("last_round", hold)
        thief = Thief(self.devices[1])
        self.addCleanup(thief.close)
        self.assertTrue(thief.has_it.wait(DEADLINE))
        self.between.release()
        self.source.stderr.wait_for(
            rb"paused until it can be resumed: .* is in use by another process")
        self.assert_stands_still(self.source)
        thief.close()
        report = self.migration.report(status=1)
        self.assertIn("is in use by another process", report["error"])
        self.assertEqual(report["owner"], "the VM is here and runs on")
        self.source.wait_ticks(5)
        self.end(self.source)
        self.assert_sound(self.source)

    def test_of_a_paused_guest_it_stays_with_it(self):
        self.begin()
        self.source.cli("pause")
        self.break_at("last_round", cut, "before")
        self.migration.report(1)
        self.assertEqual(self.source.info()["state"], "paused")
        thief = self.run_vm("tick=2", *self.devices)
        self.assertEqual(thief.wait(), 69, thief.stderr.text())
        self.source.cli("resume")
        self.source.wait_ticks(20)
        self.end(self.source)

    def test_before_commit_force_at_the_target_runs_it_there_alone(self):
        self.begin()
        self.break_at("commit", cut, "before")
        self.assert_source_in_doubt()
        self.target.cli("resume", "--force")
        self.target.wait_ticks(20)
        self.source.cli("resume", "--force")  # a mistake
        self.source.stderr.wait_for(rb"paused until it can be resumed: .* is in use by another")
        self.assert_stands_still(self.source)
        self.target.wait_ticks(20)
        self.end(self.target)
        self.assert_sound(self.source, self.target)

    def test_before_commit_the_source_runs_it_by_itself_once_the_target_is_dead(self):
        self.begin()
        self.break_at("commit", cut, "before")
        self.assert_source_in_doubt()
        os.kill(self.target.pid, signal.SIGKILL)
        self.target.wait()
        self.source.wait_ticks(20)
        told = self.source.wait_info(lambda info: info["state"] == "running", "running")["migration"]
        self.assertEqual(told["outcome"], "failed")
        self.assertIn("was lost before it ran the VM, as the VM's disks show", told["error"])
        self.assertEqual(told["owner"], "the VM is here and runs on")
        self.assert_moves_elsewhere()

    def test_that_a_stopped_target_has_is_not_taken_from_it(self):
        self.begin()
        self.break_at("commit", cut, "before")
        self.assert_source_in_doubt()
        self.target.suspend()
        self.assert_stands_still(self.source)
        self.target.signal(signal.SIGCONT)
        self.between.restore()
        self.assert_moved()

    def test_that_the_guest_has_written_elsewhere_is_not_run_with_its_old_memory(self):
        self.begin()
        self.break_at("running", cut, "before")
        self.assert_source_in_doubt()
        self.target.wait_ticks(20)
        writer = self.target.pid
        os.kill(writer, signal.SIGKILL)
        self.target.wait()
        self.source.wait_info(lambda info: "No process has its disks now" in info["migration"]["owner"],
                              "told that the disks are free")
        self.assert_stands_still(self.source)
        self.source.cli("resume", "--force")  # true that the other side is dead, and no use
        self.source.stderr.wait_for(
            rb"paused until it can be resumed: .* written to by process %d on .* Start the VM anew"
            % writer)
        self.assert_stands_still(self.source)
        # Nor by who takes it over: the migration's own tries to resume it end first.
        self.source.wait_info(lambda info: info["state"] == "paused", "paused", 60)
        other = self.receive("tcp", *self.parts)
        refused = self.migrate(self.source, other)
        self.assertEqual(refused.wait(), 1, refused.stderr.text())
        self.assertIn("cannot migrate: ", refused.stderr.text())
        self.assertIn("written to by", refused.stderr.text())
        self.assertEqual(other.info()["state"], "listening")
        anew = self.run_vm(f"tick=2 {self.workload}", *self.devices)
        anew.wait_ticks(20)

    def test_after_commit_it_moves(self):
        self.begin()
        self.break_at("running", cut, "before")
        self.between.restore()
        self.assert_moved()


if __name__ == "__main__":
    unittest.main()
