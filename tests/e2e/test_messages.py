"""Messages that nobody reads, and output that cannot be written: neither ends or delays a VM."""

import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import time
import unittest

from harness import DEADLINE, FERRY, GUEST, FerryTest, Process, Vm, full_pipe, silent_port
from process import Transcript


def unread_pipe():
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


class MessagesThatNobodyReads(FerryTest):
    def quiet_vm(self, stderr, cmdline="tick=2", **options):
        """Its messages are not collected."""
        vm = self.run_vm(cmdline, stderr=stderr, stdin=subprocess.DEVNULL, **options)
        vm.wait_ready()
        return vm

    def fail_to_migrate(self, vm):
        with silent_port() as port:
            self.migrate(vm, f"tcp:127.0.0.1:{port}").report(status=1)

    def test_do_not_end_a_vm_whose_migration_fails_and_are_counted(self):
        writer = unread_pipe()
        vm = self.quiet_vm(writer)
        os.close(writer)
        self.fail_to_migrate(vm)
        vm.wait_ticks(20)
        self.assertGreater(vm.info()["messages_dropped"], 0)

    def test_to_a_full_disk_do_not_either(self):
        with open("/dev/full", "wb") as full:
            vm = self.quiet_vm(full)
        self.fail_to_migrate(vm)
        vm.wait_ticks(20)
        self.assertGreater(vm.info()["messages_dropped"], 0)

    def test_do_not_keep_a_vm_from_arriving(self):
        reader, writer = os.pipe()
        api = self.path("api")
        target = self.start(Vm, [FERRY, "receive", "--listen", "tcp:127.0.0.1:0",
                                 "--api-socket", api], api, stderr=writer)
        os.close(writer)
        with os.fdopen(reader, "rb", 0) as messages:
            address = re.fullmatch(rb"listening on (\S+)\n", messages.readline())[1].decode()
        source = self.run_vm("tick=2 end=byte")
        source.wait_ready()
        self.assertEqual(self.migrate(source, address).report()["outcome"], "completed")
        target.wait_ticks(20)

    def test_of_a_reader_that_stalls_delay_nothing(self):
        reader, writer, _ = full_pipe()
        self.addCleanup(os.close, reader)
        vm = self.quiet_vm(writer)
        os.close(writer)
        self.fail_to_migrate(vm)
        vm.wait_ticks(20)
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0)

    def test_that_are_waited_for_at_the_end_keep_its_status_from_no_signal(self):
        reader, writer, _ = full_pipe()
        self.addCleanup(os.close, reader)
        vm = self.quiet_vm(writer)
        os.close(writer)
        self.fail_to_migrate(vm)
        end = time.monotonic() + DEADLINE
        while vm.running():
            self.assertLess(time.monotonic(), end)
            vm.signal(signal.SIGTERM)
            time.sleep(0.02)
        self.assertEqual(vm.wait(), 128 + signal.SIGTERM)

    def test_of_a_reader_that_stalls_do_not_keep_a_client(self):
        for args, status in ((["info", "--api-socket", self.path("none")], 69), (["fly"], 64)):
            reader, writer, _ = full_pipe()
            client = self.start(Process, [FERRY, *args], stderr=writer)
            os.close(writer)
            self.addCleanup(os.close, reader)
            self.assertEqual(client.wait(), status)

    def test_into_one_full_socket_with_the_output_do_not_stop_the_vm(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        vm = self.quiet_vm(theirs, "tick=1 fill=1 dirty=1000", stdout=theirs)
        flags = fcntl.fcntl(theirs, fcntl.F_GETFL)
        self.assertFalse(flags & os.O_NONBLOCK, "the shared socket was made non-blocking")
        while select.select([], [theirs], [], 0)[1]:
            self.assertTrue(vm.running())
        self.fail_to_migrate(vm)
        self.assertEqual(vm.info()["state"], "running")
        theirs.close()
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0)


class OutputThatCannotBeWritten(FerryTest):
    def test_to_a_pipe_of_another_user_leaves_the_pipe_blocking(self):
        """It can be neither opened anew nor changed for its other users."""
        if os.geteuid() != 0:
            self.skipTest("only root can give a pipe to another user")
        reader, writer = os.pipe()
        os.fchown(writer, 1, 1)
        caps = "-dac_override,-dac_read_search"
        done = self.start(
            Process, ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}", FERRY, "run",
                      "--kernel", GUEST, "--memory", "32M", "--cmdline", "tick=1 end=ticks:300"],
            stdout=writer)
        output = Transcript(os.fdopen(reader, "rb", 0))
        output.wait_for(rb"^# hello")
        self.assertFalse(fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK)
        os.close(writer)
        self.assertEqual(done.wait(), 0, done.stderr.text())
        self.assertIn(b"# end ticks=300 ", output.wait_closed())

    def test_to_a_full_disk_goes_on_when_there_is_room(self):
        """A file that may not grow any more is as a full disk is; SIGHUP renews it."""
        path = self.path("serial")
        with open(path, "wb") as file:
            file.write(b"-" * 8000)
        vm = self.run_vm("tick=1", "--serial", f"file:{path}", start_new_session=True)
        vm.wait_ready()
        subprocess.run(["prlimit", f"--pid={vm.pid}", "--fsize=8192:"], check=True)
        vm.stderr.wait_for(rb"output cannot be written and is dropped until it can: File too large")
        full = os.path.getsize(path)  # more than the limit, where the guest was quicker than prlimit
        self.assertGreaterEqual(full, 8192)
        subprocess.run(["prlimit", f"--pid={vm.pid}", "--fsize=unlimited"], check=True)
        vm.stderr.wait_for(rb"can be written again; \d+ bytes of it were dropped")
        self.assertGreater(os.path.getsize(path), full)

    def test_to_a_pipe_with_a_name_goes_on_when_another_reads_it(self):
        path = self.path("fifo")
        os.mkfifo(path)
        first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        vm = self.run_vm("tick=1", "--serial", f"file:{path}")
        self.assertTrue(select.select([first], [], [], DEADLINE)[0])
        os.close(first)
        vm.stderr.wait_for(rb"dropped until it can: Broken pipe")
        second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, second)
        vm.stderr.wait_for(rb"can be written again")

    def test_to_a_file_that_cannot_be_opened_anew_goes_on_into_the_old_one(self):
        os.mkdir(folder := self.path("logs"))
        vm = self.run_vm("tick=1", "--serial", f"file:{folder}/log", start_new_session=True)
        vm.wait_ready()
        os.rename(folder, folder + ".1")
        vm.signal(signal.SIGHUP)
        vm.stderr.wait_for(rb"goes on into the file that was open before")
        size = os.path.getsize(folder + ".1/log")
        end = time.monotonic() + DEADLINE
        while os.path.getsize(folder + ".1/log") == size:
            self.assertLess(time.monotonic(), end, vm.stderr.text())


if __name__ == "__main__":
    unittest.main()
