"""A guest in one process: boot, control, and how it ends."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

import images
from harness import DEADLINE, FerryTest
from labels import labels


def write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@labels("no-tsan")
class ATinyGuest(FerryTest):
    def test_boots_tells_its_memory_and_ticks(self):
        vm = self.run_vm("tick=5 end=byte", memory="48M")
        vm.stdout.wait_for(rb"^# hello mem=48MiB")
        vm.wait_ticks(60)
        self.end(vm)
        self.assert_sound(vm)

    def test_brings_up_every_vcpu(self):
        vm = self.run_vm("tick=5 end=byte", cpus=4)
        vm.stdout.wait_for(rb"^# vcpu 3 up")
        self.end(vm)

    def test_checks_its_own_pages_registers_and_timer(self):
        vm = self.run_vm(
            "tick=2 timer=100 fill=8 dirty=2000 check regs end=ticks:400", cpus=2, memory="32M"
        )
        self.assertEqual(vm.wait(60), 0, vm.stdout.text()[-500:])
        output = self.assert_sound(vm)
        self.assertEqual(output.ticks, 400)
        self.assertTrue(output.matching(r"end ticks=400 .*walks="))

    def test_reads_every_page_once_in_a_pass_that_a_byte_begins(self):
        vm = self.run_vm("fill=8 touch=backward irq end=byte", cpus=2, memory="32M")
        vm.stdout.wait_for(rb"^# fill done")
        for number in (1, 2):
            vm.write(b"t")
            vm.stdout.wait_for(rb"^# touch pass=%d done reads=2048 first=2048 p50_us=\d" % number)
        self.end(vm)

    def test_changes_its_pages_each_time_that_a_byte_says_so_and_finds_them_right(self):
        vm = self.run_vm("fill=8 zero=0 random=100 text=0 change=501 check end=byte", cpus=2)
        vm.stdout.wait_for(rb"^# fill done")
        for number in (1, 2):
            vm.write(b"c")
            vm.stdout.wait_for(rb"^# change %d done pages=501\n" % number)
        vm.stdout.wait_for(rb"^# check walks=", start=len(vm.stdout.bytes()))
        self.end(vm)

    def test_reads_on_after_a_migration_and_begins_a_pass_with_the_byte_that_waits_there(self):
        source = self.run_vm("tick=2 fill=8 touch=skew touch-endless irq end=byte")
        source.stdout.wait_for(rb"^# fill done")
        source.write(b"tr")
        source.stdout.wait_for(rb"^# touch pass=1 so-far reads=")
        target = self.receive()
        target.write(b"t")
        self.assertEqual(self.migrate(source, target).report()["outcome"], "completed")
        end = time.monotonic() + DEADLINE
        while not re.search(
            rb"(?m)^# touch pass=2 so-far reads=\d+ first=2048 ", target.stdout.bytes()
        ):
            self.assertLess(time.monotonic(), end, target.stdout.text()[-500:])
            target.write(b"r")
            target.wait_ticks(20)
        self.end(target)

    def test_ends_with_the_status_that_it_wrote_to_its_exit_port(self):
        vm = self.run_vm("no-such-option")
        self.assertEqual(vm.wait(), 4)
        self.assertIn("# error option no-such-option", vm.stdout.text())

    def test_ends_with_status_0_after_its_ticks(self):
        vm = self.run_vm("tick=1 end=ticks:300")
        self.assertEqual(vm.wait(), 0)
        self.assertEqual(self.assert_sound(vm).ticks, 300)

    def test_that_crashes_ends_ferry_with_status_70_and_the_place(self):
        image = self.path("elf")
        with open(image, "wb") as file:
            file.write(images.kernel(images.CRASH))
        done = self.ferry("run", "--kernel", image, "--memory", "16M")
        self.assertEqual(done.status, 70, done.stderr.text())
        self.assertRegex(done.stderr.text(), r"(?i)triple fault|crash|internal error")

    def test_is_read_from_pipes_with_several_files_as_its_initramfs(self):
        pipes = {}
        for name, data in (("kernel", images.kernel(images.MODULE_SIZE)), ("first", b"12345"), ("second", b"123456")):
            pipes[name] = self.path(name)
            os.mkfifo(pipes[name])
            threading.Thread(target=write_file, args=(pipes[name], data), daemon=True).start()
        done = self.ferry("run", "--kernel", pipes["kernel"], "--memory", "16M",
                          "--initramfs", pipes["first"], "--initramfs", pipes["second"])
        self.assertEqual(done.status, 8 + 6, done.stderr.text())


@labels("no-tsan", "no-standard-kvm")
class TheControlApi(FerryTest):
    def test_answers_curl(self):
        vm = self.run_vm("tick=2")
        vm.wait_ready()
        answer = subprocess.run(
            ["curl", "--silent", "--fail", "--unix-socket", vm.api, "http://ferry/info"],
            capture_output=True, check=True, timeout=DEADLINE,
        )
        self.assertEqual(json.loads(answer.stdout)["state"], "running")

    def test_pauses_and_resumes(self):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(30)
        vm.cli("pause")
        self.assertEqual(vm.info()["state"], "paused")
        self.assert_stands_still(vm)
        vm.cli("resume")
        self.assertEqual(vm.info()["state"], "running")
        vm.wait_ticks(30)
        self.end(vm)
        self.assert_sound(vm)

    def test_pauses_and_resumes_twice_without_complaint(self):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(1)
        for command in ("pause", "pause", "resume", "resume"):
            vm.cli(command)
        vm.wait_ticks(30)
        self.end(vm)

    def test_stops_a_guest_with_status_0(self):
        vm = self.run_vm("tick=2")
        vm.wait_ticks(5)
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0)
        self.assertFalse(os.path.exists(vm.api), "the socket file is left over")

    def test_stops_a_paused_guest(self):
        vm = self.run_vm("tick=2")
        vm.wait_ticks(5)
        vm.cli("pause")
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0)

    def test_tells_what_runs(self):
        vm = self.run_vm("tick=5", "--name", "lisbon", memory="32M", cpus=2)
        vm.wait_ticks(1)
        info = vm.info()
        self.assertEqual(info["name"], "lisbon")
        self.assertEqual(info["state"], "running")
        self.assertEqual(info["cpus"], 2)
        self.assertRegex(info["id"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertIn("lisbon", vm.cli("info").stdout)

    def test_is_http_on_a_socket_for_the_owner_alone(self):
        vm = self.run_vm("tick=5")
        vm.wait_ticks(1)
        self.assertEqual(stat.S_IMODE(os.stat(vm.api).st_mode), 0o600)
        http_api = UnixHttp(vm.api)
        self.addCleanup(http_api.close)
        http_api.request("GET", "/info")
        answer = http_api.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertEqual(json.loads(answer.read())["state"], "running")

    def test_survives_requests_that_make_no_sense(self):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(1)
        for request in (
            b"\x00\xff" * 100,
            b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /migrate HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"to\": ",
            b"POST /migrate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]",
            b"POST /pause HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
            b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        ):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(vm.api)
                try:
                    client.sendall(request)
                    client.shutdown(socket.SHUT_WR)
                    answer = client.recv(4096)
                except (BrokenPipeError, ConnectionResetError):
                    answer = b""
            self.assertRegex(answer, rb"^($|HTTP/1\.[01] 4\d\d )")
        vm.wait_ticks(20)
        self.assertEqual(vm.info()["state"], "running")
        self.end(vm)

    def test_says_so_when_nobody_answers(self):
        done = self.ferry("info", "--api-socket", f"{self.directory}/none")
        self.assertEqual(done.status, 69)
        self.assertIn(f"{self.directory}/none", done.stderr.text())

    def test_refuses_force_where_nothing_is_in_doubt(self):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(1)
        vm.cli("pause")
        refused = vm.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("force", refused.stderr)
        vm.cli("resume")
        self.end(vm)


# ThreadSanitizer may hold back a signal until the thread makes its next call, which one that waits
# does not.
@labels("no-tsan", "no-standard-kvm")
class ASignal(FerryTest):
    def end_by(self, number):
        vm = self.run_vm("tick=2")
        vm.wait_ticks(5)
        vm.signal(number)
        status = vm.wait()
        self.assertIn(status, (0, -number, 128 + number), vm.stderr.text())
        self.assertFalse(os.path.exists(vm.api), "the socket file is left over")

    def test_int_ends_a_guest(self):
        self.end_by(signal.SIGINT)

    def test_term_ends_a_guest(self):
        self.end_by(signal.SIGTERM)

    def test_term_ends_a_receiver_that_waits(self):
        vm = self.receive("unix")
        vm.signal(signal.SIGTERM)
        vm.wait()
        self.assertFalse(os.path.exists(vm.address.removeprefix("unix:")), "a socket file is left")
        self.assertFalse(os.path.exists(vm.api), "a socket file is left")


@labels("no-tsan", "no-standard-kvm")
class TheProgram(FerryTest):
    needs_kvm = False

    def test_shows_its_commands_and_version(self):
        help_text = self.ferry("--help")
        self.assertEqual(help_text.status, 0)
        for command in ("run", "receive", "migrate", "set", "info", "pause", "resume", "stop"):
            self.assertIn(command, help_text.stdout.text())
        self.assertEqual(self.ferry("--version").status, 0)


if __name__ == "__main__":
    unittest.main()
