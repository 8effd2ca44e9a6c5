"""A ferry on a terminal: its keys, its mode, and a shell's job control."""

import os
import re
import shutil
import signal
import tempfile
import unittest

import proxy
from harness import FERRY, GUEST, FerryTest, Vm, peer_timeout, silent_port
from terminal import Terminal

QUIT = b"\x01x"

# As a shell's `&`, and then its `fg`, which sends a job that runs no signal.
JOB_CONTROL = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = subprocess.Popen(sys.argv[1:], preexec_fn=lambda: os.setpgid(0, 0))
sys.stdin.readline()
os.tcsetpgrp(0, job.pid)
status = job.wait()
os.tcsetpgrp(0, os.getpid())
print("ended", status, flush=True)
"""


class OnATerminal(FerryTest):
    def terminal(self):
        terminal = Terminal()
        self.addCleanup(terminal.close)
        return terminal

    def run_on(self, terminal, cmdline="tick=20", *args):
        vm = self.run_vm(cmdline, *args, **terminal.options())
        terminal.shows(b"# hello")
        terminal.until(terminal.raw, "raw")
        return vm

    def quit(self, terminal, vm):
        terminal.type(QUIT)
        terminal.until(lambda: not vm.running(), "ends by Ctrl-A X")
        self.assertEqual(terminal.mode(), terminal.before)
        return vm.wait()

    def test_the_first_line_tells_of_the_keys_and_ctrl_a_h_of_more(self):
        terminal = self.terminal()
        vm = self.run_on(terminal)
        self.assertRegex(vm.stderr.text(), r"\Aferry: Ctrl-A X ends .*Ctrl-A H ")
        terminal.type(b"\x01h")
        terminal.until(lambda: b"Ctrl-A Ctrl-A" in vm.stderr.bytes(), "help")
        self.assertEqual(self.quit(terminal, vm), 0)

    def test_a_receiver_without_a_vm_ends_by_ctrl_a_x(self):
        terminal = self.terminal()
        target = self.receive(**terminal.options())
        terminal.until(terminal.raw, "raw")
        self.quit(terminal, target)

    def test_a_receiver_without_a_vm_ends_by_ctrl_c(self):
        terminal = self.terminal()
        target = self.receive(**terminal.options())
        terminal.until(terminal.raw, "raw")
        terminal.type(b"\x03")
        terminal.until(lambda: not target.running(), "ends by Ctrl-C")
        self.assertEqual(target.wait(), 128 + signal.SIGINT)
        self.assertEqual(terminal.mode(), terminal.before)

    def test_what_is_typed_before_the_vm_comes_is_the_guests(self):
        terminal = self.terminal()
        target = self.receive(**terminal.options())
        terminal.until(terminal.raw, "raw")
        terminal.type(b"early\n")
        source = self.run_vm("tick=20 echo")
        source.wait_ready()
        self.assertEqual(self.migrate(source, target).report()["outcome"], "completed")
        terminal.shows(b"# got 6 bytes")
        self.assertEqual(self.quit(terminal, target), 0)

    def test_a_guest_that_reads_nothing_ends_by_ctrl_a_x(self):
        terminal = self.terminal()
        vm = self.run_on(terminal)
        terminal.type(b"x" * 6000)
        self.assertEqual(self.quit(terminal, vm), 0)

    def test_a_paused_guest_ends_by_ctrl_a_x(self):
        terminal = self.terminal()
        vm = self.run_on(terminal)
        vm.cli("pause")
        terminal.type(b"x" * 6000)
        self.assertEqual(self.quit(terminal, vm), 0)

    def test_what_was_typed_while_the_guest_was_paused_is_its_own(self):
        terminal = self.terminal()
        vm = self.run_on(terminal, "tick=20 echo")
        vm.cli("pause")
        terminal.type(b"x" * 5000 + b"\n")
        terminal.type(b"\x01h")  # heard only once all before it has been read
        terminal.until(lambda: b"Ctrl-A Ctrl-A" in vm.stderr.bytes(), "help")
        vm.cli("resume")
        terminal.shows(b"# got 5001 bytes")
        self.assertEqual(self.quit(terminal, vm), 0)

    def test_a_guest_that_stops_amid_a_paste_ends_by_ctrl_a_x(self):
        terminal = self.terminal()
        vm = self.run_on(terminal, "tick=20 echo")
        terminal.type(b"x" * 6200)
        vm.cli("pause")
        self.assertEqual(self.quit(terminal, vm), 0)

    def test_a_keeper_ends_by_ctrl_a_x(self):
        terminal = self.terminal()
        store = tempfile.mkdtemp(prefix="ferry-store-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, store, ignore_errors=True)
        vm = self.run_on(terminal, "tick=20", "--image-store", store)
        target = self.receive()
        self.assertEqual(self.migrate(vm, target, "--keep-image").report()["outcome"], "completed")
        self.assertEqual(vm.state(), "keeper")
        self.assertEqual(self.quit(terminal, vm), 0)

    def test_a_guest_in_doubt_ends_by_ctrl_a_x(self):
        terminal = self.terminal()
        vm = self.run_on(terminal)
        target = self.receive("tcp", "--timeout", peer_timeout())
        between = proxy.Proxy(target.address)
        self.addCleanup(between.close)
        between.on("running", proxy.cut, "before")
        migration = self.migrate(vm, between.address, "--timeout", peer_timeout())
        self.assertEqual(migration.report(status=1)["outcome"], "in-doubt")
        terminal.type(QUIT)
        terminal.until(lambda: not vm.running(), "ends by Ctrl-A X")
        self.assertIn("unless the VM runs at the other side, it is lost", vm.stderr.text())
        self.assertEqual(target.info()["state"], "running")

    def test_a_migration_is_cancelled_by_ctrl_a_x_and_then_the_guest_ends(self):
        for mode in ("pre-copy", "stop-and-copy"):  # the latter stops the guest all the time
            with self.subTest(mode):
                terminal = self.terminal()
                vm = self.run_on(terminal, "tick=20 fill=16 zero=0 random=100 text=0")
                terminal.shows(b"# fill done")
                migration = self.migrate(vm, self.receive(), "--mode", mode,
                                         "--max-bandwidth", "10Mbit")
                migration.stderr.wait_for(rb"MiB sent")
                terminal.type(QUIT)
                terminal.until(lambda vm=vm: not vm.running(), "ends by Ctrl-A X")
                self.assertEqual(vm.wait(), 0)
                self.assertEqual(migration.report(status=1)["outcome"], "cancelled")

    def test_sigquit_and_sigterm_leave_the_terminal_as_it_was(self):
        for number in (signal.SIGQUIT, signal.SIGTERM):
            with self.subTest(number.name):
                terminal = self.terminal()
                vm = self.run_on(terminal)
                vm.signal(number)
                terminal.until(lambda vm=vm: not vm.running(), "ends")
                self.assertEqual(vm.wait(), 128 + number)
                self.assertEqual(terminal.mode(), terminal.before)

    def test_a_fault_of_memory_leaves_the_terminal_as_it_was(self):
        """As where a file that is RAM is cut short."""
        terminal = self.terminal()
        vm = self.run_on(terminal)
        vm.signal(signal.SIGBUS)
        terminal.until(lambda: not vm.running(), "ends")
        self.assertEqual(vm.wait(), 71)
        self.assertIn("This process ends, and its VM with it", vm.stderr.text())
        self.assertEqual(terminal.mode(), terminal.before)

    def test_is_given_back_while_stopped_and_taken_again(self):
        terminal = self.terminal()
        shell = self.run_by_shell(terminal, ["python3", "-c", JOB_CONTROL], "tick=50 echo")
        terminal.shows(b"# hello")
        terminal.type(b"\n")
        terminal.until(terminal.raw, "raw in the foreground")
        pid = shell.info()["pid"]
        os.kill(pid, signal.SIGTSTP)
        terminal.until(lambda: self.process_state(pid) == "T", "stopped")
        self.assertEqual(terminal.mode(), terminal.before)
        os.kill(pid, signal.SIGCONT)
        terminal.until(terminal.raw, "raw again")
        terminal.type(b"abc\n")
        terminal.shows(b"# got 4 bytes")
        terminal.type(QUIT)
        terminal.shows(b"ended 0")
        shell.wait()

    def test_a_job_in_the_background_reads_the_terminal_once_it_is_in_the_foreground(self):
        terminal = self.terminal()
        vm = self.run_by_shell(terminal, ["python3", "-c", JOB_CONTROL], "tick=50 echo")
        terminal.shows(b"# hello")
        self.assertFalse(terminal.raw(), "a background job has changed the terminal")
        terminal.type(b"\n")
        terminal.until(terminal.raw, "raw in the foreground")
        terminal.type(b"abc\n")
        terminal.shows(b"# got 4 bytes")
        terminal.type(QUIT)
        terminal.shows(b"ended 0")
        vm.wait()

    def test_a_message_begins_a_line_of_its_own(self):
        terminal = self.terminal()
        vm = self.run_by_shell(terminal, ["sh", "-c", 'exec "$@" 2>&1', "sh"], "tick=5")
        terminal.until(lambda: re.search(rb"\n[a-z]+\Z", terminal.screen), "letters")
        with silent_port() as port:
            self.migrate(vm, f"tcp:127.0.0.1:{port}").report(status=1)
        terminal.shows(b"migration failed")
        self.assertRegex(terminal.screen, rb"\nferry: migration failed")
        self.quit(terminal, vm)

    def run_by_shell(self, terminal, shell, cmdline):
        api = self.path("api")
        command = [FERRY, "run", "--kernel", GUEST, "--memory", "32M", "--cmdline", cmdline,
                   "--api-socket", api]
        return self.start(Vm, [*shell, *command], api=api, **terminal.options())

    def process_state(self, pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]


if __name__ == "__main__":
    unittest.main()
