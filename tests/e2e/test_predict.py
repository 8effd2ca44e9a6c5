"""`ferry predict`: what a migration would take, of a guest that runs on."""

import contextlib
import json
import os
import signal
import socket
import struct
import time

from harness import DEADLINE, FERRY, SCALE, FerryTest, Process
from labels import labels

MODES = {"pre-copy", "post-copy", "hybrid", "auto"}
MODE = {"converges": bool, "total_ms": float, "downtime_ms": float, "downtime_ms_range": list,
        "wire_bytes": int, "rounds": int, "demand_pages": int, "joules": float}


def thread_names(pid):
    names = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with (contextlib.suppress(OSError),  # it has ended
              open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as comm):
            names.add(comm.read().strip())
    return names


class PredictTest(FerryTest):
    def guest(self, cmdline, **options):
        vm = self.run_vm(cmdline, **options)
        vm.stdout.wait_for(rb"^# fill done")
        vm.wait_ticks(20)
        return vm

    def predict(self, vm, *args):
        return json.loads(vm.cli("predict", "--json", *args, deadline=2 * DEADLINE).stdout)


@labels("alone", "no-asan", "no-tsan", "no-standard-kvm")
class APrediction(PredictTest):
    def test_has_its_form(self):
        vm = self.guest("tick=2 fill=8 end=byte")
        said = self.predict(vm, "--max-bandwidth", "1Gbit")
        self.assertEqual(set(said["modes"]), MODES)
        for mode in said["modes"].values():
            self.assertEqual(set(mode), set(MODE))
            for name, kind in MODE.items():
                self.assertIsInstance(mode[name], (int, kind) if kind is float else kind, name)
            least, most = mode["downtime_ms_range"]
            self.assertLessEqual(least, mode["downtime_ms"])
            self.assertGreaterEqual(most, mode["downtime_ms"])
        self.assertEqual(said["bandwidth"], 125_000_000)
        self.assertIn(said["choice"], MODES)
        self.assertIn("Liu", said["energy"]["source"])
        table = vm.cli("predict", "--max-bandwidth", "1Gbit", deadline=2 * DEADLINE).stdout
        for mode in MODES:
            self.assertIn(mode, table)
        self.end(vm)

    def test_of_an_idle_guest_is_what_then_happens(self):
        vm = self.guest("tick=2 fill=48 random=100 zero=0 text=0 end=byte", memory="64M")
        said = self.predict(vm, "--max-bandwidth", "200Mbit")
        self.assertLess(said["dirty_pages_per_s"], 200)
        self.assertEqual(said["choice"], "pre-copy")
        target, report = self.move(vm, "--max-bandwidth", "200Mbit", "--mode", "pre-copy", "--verify")
        self.assertTrue(report["verified"])
        mode = said["modes"]["pre-copy"]
        self.assertAlmostEqual(mode["wire_bytes"] / report["wire_bytes"], 1, delta=0.1)
        self.assertTrue(mode["converges"])
        target.wait_ticks(20)
        self.end(target)
        self.assert_sound(vm, target)

    def test_sees_a_guest_that_writes_faster_than_the_link(self):
        vm = self.guest("tick=2 fill=48 dirty=20000 check end=byte", memory="64M")
        said = self.predict(vm, "--max-bandwidth", "40Mbit")
        self.assertGreater(said["dirty_pages_per_s"], 4000)
        self.assertFalse(said["modes"]["pre-copy"]["converges"])
        self.assertGreater(said["modes"]["pre-copy"]["downtime_ms"], 50)
        self.assertNotEqual(said["choice"], "pre-copy")
        self.end(vm)
        self.assert_sound(vm)

    def test_takes_the_parameters_of_energy_from_a_file(self):
        vm = self.guest("tick=2 fill=8 end=byte")
        path = self.path("json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"joules_per_byte": 0, "joules": 7, "source": "a wattmeter"}, file)
        said = self.predict(vm, "--max-bandwidth", "1Gbit", "--energy", path)
        self.assertEqual((said["joules"], said["energy"]["source"]), (7, "a wattmeter"))
        self.end(vm)

    def test_measures_the_link_and_leaves_the_receiver_waiting(self):
        vm = self.guest("tick=2 fill=8 end=byte")
        target = self.receive()
        said = self.predict(vm, "--to", target.address)
        self.assertGreater(said["bandwidth"], 10e6)
        self.assertEqual(target.state(), "listening")
        report = self.migrate(vm, target, "--verify").report()
        self.assertTrue(report["verified"])
        target.wait_ticks(20)
        self.end(target)
        self.assert_sound(vm, target)

    def test_is_refused_where_it_makes_no_sense(self):
        vm = self.guest("tick=2 fill=32 end=byte", memory="64M")
        self.assertEqual(self.ferry("predict", "--api-socket", vm.api).status, 64)
        gone = vm.cli("predict", "--to", f"unix:{self.path('none')}", check=False)
        self.assertIn("--max-bandwidth", gone.stderr)
        target = self.receive()
        migration = self.migrate(vm, target, "--max-bandwidth", "10Mbit")
        vm.wait_info(lambda info: info["state"] == "migrating", "migrating")
        refused = vm.cli("predict", "--max-bandwidth", "1Gbit", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("cannot predict", refused.stderr)
        busy = self.ferry("predict", "--api-socket", target.api, "--max-bandwidth", "1Gbit")
        self.assertIn("cannot predict", busy.stderr.text())
        vm.cli("cancel")
        migration.report(status=1)
        self.assertEqual(self.predict(vm, "--max-bandwidth", "1Gbit")["choice"], "pre-copy")
        self.end(vm)

    def test_ends_where_a_migration_begins(self):
        vm = self.guest("tick=2 fill=8 end=byte")
        target = self.receive()
        client = self.enterContext(socket.socket(socket.AF_UNIX))
        client.settimeout(DEADLINE)
        client.connect(vm.api)
        body = b'{"max_bandwidth": 125000000}'
        client.sendall(b"GET /forecast HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                       % (len(body), body))
        vm.info()  # answered in turn: the guest is being looked at by now
        self.assertTrue(self.migrate(vm, target, "--verify").report()["verified"])
        answer = client.recv(4096)
        self.assertTrue(answer.startswith(b"HTTP/1.1 409 "), answer)
        self.assertIn(b"cannot predict", answer)
        target.wait_ticks(20)
        self.end(target)


@labels("alone", "no-asan", "no-tsan", "no-standard-kvm")
class APredictionThatTakesLong(PredictTest):
    """The link is so slow, and the guest so busy, that the model has to think for long."""

    def setUp(self):
        super().setUp()
        self.vm = self.guest("tick=2 fill=48 dirty=20000 end=byte", memory="64M")
        self.client = self.start(
            Process, [FERRY, "predict", "--api-socket", self.vm.api, "--max-bandwidth", "0.2Mbit",
                      "--max-rounds", "1000000"])
        self.wait_model(lambda runs: runs)

    def wait_model(self, condition):
        end = time.monotonic() + DEADLINE
        while not condition("forecast" in thread_names(self.vm.pid)):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_does_not_keep_its_process(self):
        self.vm.signal(signal.SIGTERM)
        self.vm.wait(5 * SCALE)
        self.assertNotEqual(self.client.wait(), 0)
        self.assertIn("cannot predict", self.client.stderr.text())

    def test_does_not_keep_the_vm(self):
        target = self.receive()
        self.assertTrue(self.migrate(self.vm, target, "--verify").report()["verified"])
        self.assertNotEqual(self.client.wait(), 0)
        self.end(target)
        self.assert_sound(self.vm, target)

    def test_ends_when_nobody_waits_for_it(self):
        self.client.close()
        self.wait_model(lambda runs: not runs)
        self.assertIn("choice", self.predict(self.vm, "--max-bandwidth", "1Gbit"))
        self.end(self.vm)


class AReceiverThatIsProbed(PredictTest):
    PREAMBLE = b"FERRY\r\n\x1a" + struct.pack("<II", 2, 5)
    PROBE = struct.pack("<BBHI", 44, 0, 0, 65536) + bytes(65536)
    PROBED = struct.pack("<BBHI", 45, 0, 0, 0)
    REFUSED = 19

    def setUp(self):
        super().setUp()
        self.target = self.receive("unix")

    def dial(self):
        client = self.enterContext(socket.socket(socket.AF_UNIX))
        client.settimeout(DEADLINE)
        client.connect(self.target.address.removeprefix("unix:"))
        client.sendall(self.PREAMBLE)
        self.assertEqual(len(client.recv(16, socket.MSG_WAITALL)), 16)
        return client

    def answer(self, client):
        return client.recv(8, socket.MSG_WAITALL)

    def test_reads_no_more_than_its_bounds(self):
        client = self.dial()
        answered = 0
        for _ in range(2000):
            try:
                client.sendall(self.PROBE)
                answer = self.answer(client)
            except (BrokenPipeError, ConnectionResetError):
                break
            if not answer:
                break
            self.assertEqual(answer, self.PROBED)
            answered += 1
        self.assertGreater(answered, 0)
        self.assertLessEqual(answered, (64 << 20) // 65536 + 1)
        self.assertEqual(self.target.state(), "listening")

    def test_is_so_by_one_at_a_time(self):
        first, second = self.dial(), self.dial()
        first.sendall(self.PROBE)
        self.assertEqual(self.answer(first), self.PROBED)
        second.sendall(self.PROBE)
        self.assertEqual(self.answer(second)[0], self.REFUSED)
        first.close()
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            third = self.dial()
            third.sendall(self.PROBE)
            if self.answer(third) == self.PROBED:
                return
        self.fail("it was never free again")

    def test_drops_who_sends_anything_else(self):
        client = self.dial()
        client.sendall(struct.pack("<BBHI", 44, 0, 0, 65537))
        self.assertEqual(client.recv(1), b"")
        self.assertEqual(self.target.state(), "listening")


@labels("alone", "no-asan", "no-tsan", "no-standard-kvm")
class AGuestThatIsLookedAt(PredictTest):
    LINE = rb"^# tick \d+ time_us=(\d+) .* writes=(\d+)\n"

    def next_line(self, vm):
        line = vm.stdout.wait_for(self.LINE, start=vm.stdout.size())
        return int(line[1]) / 1e6, int(line[2])

    def test_writes_as_much_as_before(self):
        """It does not make up for more than 100 ms."""
        vm = self.guest("tick=2 fill=48 dirty=20000 end=byte", memory="64M")
        start, before = self.next_line(vm)
        self.predict(vm, "--max-bandwidth", "1Gbit")
        end, after = self.next_line(vm)
        self.assertGreater((after - before) / (end - start), 0.95 * 20000)
        self.end(vm)
