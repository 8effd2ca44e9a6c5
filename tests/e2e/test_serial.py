"""The guest's serial port, on whatever stdin and stdout ferry is given."""

import os
import pty
import subprocess
import termios
import unittest

from guest_output import GuestOutput, fnv1a
from harness import FERRY, GUEST, FerryTest, Process, full_pipe
from labels import labels
from process import Transcript


@labels("no-tsan", "no-standard-kvm")
class SerialInput(FerryTest):
    def test_may_be_a_closed_stdin(self):
        arguments = f"run --kernel {GUEST} --memory 32M --cmdline 'tick=1 end=ticks:60'"
        done = self.start(Process, ["sh", "-c", f"exec {FERRY} {arguments} <&-"])
        self.assertEqual(done.wait(), 0, done.stderr.text())
        self.assertEqual(self.assert_sound(done).ticks, 60)

    def test_may_be_dev_null(self):
        vm = self.run_vm("tick=1 end=ticks:60 echo", stdin=subprocess.DEVNULL)
        self.assertEqual(vm.wait(), 0, vm.stderr.text())
        self.assertEqual(self.assert_sound(vm).ticks, 60)

    def test_may_end_while_the_guest_goes_on(self):
        vm = self.run_vm("tick=1 end=ticks:200 echo")
        vm.write(b"hello\n")
        vm.close_input()
        vm.stdout.wait_for(rb"^# got 6 bytes")
        self.assertEqual(vm.wait(), 0, vm.stderr.text())

    def test_may_be_a_file(self):
        path = self.path("input")
        data = bytes(range(128)).replace(b"q", b"").replace(b"\n", b"") * 20 + b"\n"
        with open(path, "wb") as file:
            file.write(data + b"q")
        with open(path, "rb") as file:
            vm = self.run_vm("tick=5 echo end=byte", stdin=file)
        self.assertEqual(vm.wait(), 0, vm.stderr.text())
        got = self.assert_sound(vm).matching(r"^got (\d+) bytes sum=\d+ hash=(0x[0-9a-f]+)")
        self.assertEqual([(int(m[1]), int(m[2], 16)) for m in got], [(len(data), fnv1a(data))])

    def test_may_be_without_end(self):
        with open("/dev/zero", "rb") as zeros:
            for more in ("", " irq"):
                with self.subTest(more):
                    vm = self.run_vm("tick=1 end=ticks:60 echo" + more, stdin=zeros)
                    self.assertEqual(vm.wait(), 0, vm.stderr.text())
                    self.assertEqual(self.assert_sound(vm).ticks, 60)

    def test_may_be_a_terminal_which_is_left_as_it_was(self):
        master, terminal = pty.openpty()
        self.addCleanup(os.close, master)
        before = termios.tcgetattr(terminal)
        vm = self.run_vm("tick=5 echo end=byte", stdin=terminal)
        vm.wait_ticks(1)
        os.write(master, b"q")
        self.assertEqual(vm.wait(), 0, vm.stderr.text())
        self.assertEqual(termios.tcgetattr(terminal), before)
        os.close(terminal)

    def test_reaches_a_guest_that_takes_interrupts(self):
        vm = self.run_vm("echo irq end=byte")
        vm.stdout.wait_for(rb"^# hello")
        data = b"0123456789abcdef" * 200 + b"\n"
        vm.write(data)
        got = vm.stdout.wait_for(rb"^# got (\d+) bytes sum=\d+ hash=(\S+)\n")
        self.assertEqual((int(got[1]), int(got[2], 16)), (len(data), fnv1a(data)))
        self.end(vm)

    def test_does_not_wake_a_paused_guest_and_is_not_lost(self):
        vm = self.run_vm("tick=2 echo end=byte")
        vm.wait_ticks(5)
        vm.cli("pause")
        vm.write(b"patience\n")
        self.assert_stands_still(vm)
        vm.cli("resume")
        vm.stdout.wait_for(rb"^# got 9 bytes")
        self.end(vm)


@labels("no-tsan", "no-standard-kvm")
class SerialOutput(FerryTest):
    def test_goes_to_a_file(self):
        path = self.path("serial")
        vm = self.run_vm("tick=1 end=ticks:200", "--serial", f"file:{path}")
        self.assertEqual(vm.wait(), 0, vm.stderr.text())
        self.assertEqual(vm.stdout.bytes(), b"")
        with open(path, "rb") as file:
            output = GuestOutput(file.read())
        self.assertEqual((output.problems(), output.ticks), ([], 200))

    def test_goes_nowhere(self):
        vm = self.run_vm("tick=1 end=ticks:200", "--serial", "null")
        self.assertEqual(vm.wait(), 0, vm.stderr.text())
        self.assertEqual(vm.stdout.bytes(), b"")

    def test_is_all_that_stdout_carries(self):
        vm = self.run_vm("tick=1 end=ticks:50")
        self.assertEqual(vm.wait(), 0)
        self.assertRegex(vm.stdout.text(), r"\A# hello [^\n]*\n[a-z\n]*# end ticks=50 [^\n]*\n\Z")

    def test_to_a_reader_that_stalls_does_not_stop_the_vcpus(self):
        reader, writer, filler = full_pipe()
        # vCPU 1 counts its writes whether or not vCPU 0 can print.
        vm = self.run_vm("tick=1 fill=1 dirty=1000 end=byte", cpus=2, stdout=writer)
        os.close(writer)
        vm.wait_ready()
        for _ in range(3):
            vm.cli("pause")
            self.assertEqual(vm.info()["state"], "paused")
            vm.cli("resume")
            self.assertEqual(vm.info()["state"], "running")
        output = Transcript(os.fdopen(reader, "rb", 0))
        output.wait_for(rb"# tick 104 ")
        self.end(vm)
        data = output.wait_closed()
        self.assertEqual(data[: len(filler)], filler)
        self.assertEqual(GuestOutput(data[len(filler) :]).problems(), [])

    def test_to_a_reader_that_stalls_moves_with_the_guest(self):
        reader, writer, filler = full_pipe()
        source = self.run_vm("tick=1 echo end=byte", stdout=writer)
        os.close(writer)
        source.wait_ready()
        source.write(b"hello\n")
        target = self.receive()
        migration = self.migrate(source, target, "--verify")
        self.assertEqual(migration.report()["outcome"], "completed")
        before = Transcript(os.fdopen(reader, "rb", 0))
        self.assertEqual(source.wait(), 0, source.stderr.text())
        target.wait_ticks(60)
        self.end(target)
        first = before.wait_closed()[len(filler) :]
        output = GuestOutput(first, target.stdout.bytes())
        self.assertEqual(output.problems(), [])
        self.assertTrue(output.matching(r"^hello"), "the first line is lost")

    def test_to_a_reader_that_is_gone_does_not_end_the_guest(self):
        reader, writer = os.pipe()
        vm = self.run_vm("tick=1 end=ticks:300", stdout=writer)
        os.close(writer)
        os.close(reader)
        self.assertEqual(vm.wait(), 0, vm.stderr.text())


if __name__ == "__main__":
    unittest.main()
