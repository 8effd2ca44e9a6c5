"""What peers get wrong: each gets a clear error, and no process crashes or hangs."""

import contextlib
import json
import os
import socket
import struct
import threading
import unittest

import proxy
from bad_input import BadInputTest
from cases import cases
from harness import peer_timeout
from labels import labels

PREAMBLE = struct.Struct("<8sII")
MAGIC = b"FERRY\r\n\x1a"
VERSION = 2
CONTROL, PAGES, INQUIRY = 1, 2, 3
GREETING = PREAMBLE.pack(MAGIC, VERSION, CONTROL)
EAX, ECX = 3, 5  # in a CPUID leaf of the offer


@labels("no-tsan", "no-standard-kvm")
class ABadDestination(BadInputTest):
    """What answers is not a ferry that would take the VM."""

    def serve(self, talk):
        """A listener that does `talk(connection)` with each that comes; its address."""
        server = socket.create_server(("127.0.0.1", 0))
        connections = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    talk(connection)

        threading.Thread(target=accept, daemon=True).start()

        def close():
            server.shutdown(socket.SHUT_RDWR)
            for each in (server, *connections):
                each.close()

        self.addCleanup(close)
        return f"tcp:127.0.0.1:{server.getsockname()[1]}"

    @cases({
        "that_is_no_ferry": (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, "not Ferry"),
        "that_speaks_another_version": (PREAMBLE.pack(MAGIC, 99, CONTROL), "99"),
        "that_sends_garbage_after_its_greeting":
            (GREETING + bytes([200, 7, 9, 9]) + b"\xff" * 5000, "."),
        "that_announces_an_endless_frame":
            (GREETING + struct.pack("<BBHI", 18, 0, 0, 0xFFFFFFFF), "."),
    })
    def says(self, data, why):
        self.failed_migration(self.serve(lambda peer: peer.sendall(data)), why)

    def test_that_hangs(self):
        self.failed_migration(self.serve(lambda peer: None), "silent|answer|time")

    def test_that_closes_at_once(self):
        self.failed_migration(self.serve(lambda peer: peer.close()), "clos|reset|lost|end")


@labels("no-standard-kvm")
class AStrangerAtTheDoor(BadInputTest):
    """Whatever a stranger sends to `ferry receive`, it goes on waiting for a VM, and takes it."""

    def knock(self, receiver, data, shut=True):
        host, port = receiver.address.removeprefix("tcp:").rsplit(":", 1)
        stranger = socket.create_connection((host, int(port)), 10)
        self.addCleanup(stranger.close)
        stranger.settimeout(10)
        with contextlib.suppress(OSError):  # it may be shown the door at any moment
            stranger.sendall(data)
            if shut:
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass

    def test_does_not_keep_a_vm_from_arriving(self):
        receiver = self.receive("tcp", "--timeout", peer_timeout(1.0))
        frame = struct.Struct("<BBHI")
        for data in (
            b"",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            os.urandom(4096),
            PREAMBLE.pack(MAGIC, 1, CONTROL),
            PREAMBLE.pack(MAGIC, VERSION, 77),
            GREETING + os.urandom(4096),
            GREETING + frame.pack(17, 0, 0, 0xFFFFFFF0),
            GREETING + frame.pack(17, 0, 0, 2) + b"{}",
            GREETING + frame.pack(17, 0, 0, 9) + b"[[[[[[[[[",
            GREETING + frame.pack(25, 0, 0, 0),
            PREAMBLE.pack(MAGIC, VERSION, PAGES) + frame.pack(1, 0, 0, 20) + bytes(20),
            PREAMBLE.pack(MAGIC, VERSION, PAGES) + frame.pack(2, 0, 9999, 1 << 30),
            PREAMBLE.pack(MAGIC, VERSION, INQUIRY) + frame.pack(32, 0, 0, 4) + b"null",
        ):
            with self.subTest(data=data[:24]):
                self.knock(receiver, data)
                self.assertEqual(receiver.info()["state"], "listening")
        self.knock(receiver, b"FER", shut=False)  # and one that stays and says nothing more
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(5)
        self.assertEqual(self.migrate(vm, receiver).report()["outcome"], "completed")
        receiver.wait_ticks(10)
        self.end(receiver)

    def test_many_that_only_live_on_do_not_keep_a_vm_away(self):
        """More than there is room for, and each sends signs of life; the source has its place."""
        receiver = self.receive("tcp", "--timeout", "3600s")
        alive = struct.pack("<BBHI", 16, 0, 0, 0)
        for role in (CONTROL, INQUIRY) * 60:
            self.knock(receiver, PREAMBLE.pack(MAGIC, VERSION, role) + alive, shut=False)
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(5)
        report = self.migrate(vm, receiver, "--channels", "4").report()
        self.assertEqual(report["outcome"], "completed")
        receiver.wait_ticks(10)
        self.end(receiver)
        # 56 of them had to go; a few messages tell of them.
        self.assertIn("dropped a connection", receiver.stderr.text())
        self.assertLess(receiver.stderr.text().count("\n"), 12)

    def test_who_announces_what_is_no_offer_is_not_listened_to(self):
        receiver = self.receive("tcp", "--timeout", "3600s")
        state = GREETING + struct.pack("<BBHI", 21, 0, 0, 8 << 20)
        self.knock(receiver, state + bytes(100))
        receiver.stderr.wait_for(rb"dropped a connection: the peer offered no VM")

    def test_a_second_vm_is_refused_and_goes_on_at_its_source(self):
        receiver = self.receive()
        first, second = (self.run_vm("tick=2 end=byte") for _ in range(2))
        for vm in (first, second):
            vm.wait_ticks(5)
        self.migrate(first, receiver).report()
        report = self.migrate(second, receiver).report(1)
        self.assertIn("already has a VM", report["error"])
        second.wait_ticks(10)
        self.end(second)
        self.end(receiver)

    def test_a_vm_that_is_too_large_is_refused_before_a_page_is_sent(self):
        """The offer is changed on its way: no real source has so much memory."""
        receiver = self.receive()
        between = proxy.Proxy(receiver.address)
        self.addCleanup(between.close)
        large = b"%d" % (900 << 40)

        def grow(_proxy, _direction, frame):
            payload = frame[8:].replace(b"33554432", large)
            return frame[:4] + struct.pack("<I", len(payload)) + payload

        between.on("offer", grow)
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(5)
        report = self.migrate(vm, between.address).report(1)
        self.assertRegex(report["error"], "refused.*memory")
        self.assertEqual(report["pages"]["raw"] + report["pages"]["zero"], 0)
        self.end(vm)

    def test_what_the_destination_does_not_know_is_done_without(self):
        """Its list of features is changed on its way: this ferry knows all of them."""

        def forget(payload):
            accept = json.loads(payload)
            self.assertIn("lz4", accept["features"])
            return json.dumps(accept | {"features": ["of-another-time"]}).encode()

        for way, missed in ("lz4", "LZ4"), ("zstd", "Zstandard"), ("auto", None):
            receiver = self.receive()
            between = proxy.Proxy(receiver.address)
            self.addCleanup(between.close)
            between.on("accept", proxy.payload(forget))
            vm = self.run_vm("tick=2 fill=4 end=byte")
            vm.wait_ready()
            client = self.migrate(vm, between.address, "--verify", "--compression", way)
            report = client.report(1 if missed else 0)
            self.assertEqual(report["pages"]["compressed"], 0)
            if not missed:
                self.assertGreater(report["pages"]["raw"], 0)
                self.assertTrue(report["verified"])
                self.assertIsNone(receiver.info()["arrived_by"])
                self.end(receiver)
            else:
                self.assertIn(f"does not know {missed}", report["error"])
                self.end(vm)

    def check_config_is_refused(self, change, error):
        """The configuration in the offer is changed on its way: the guest runs on, unstopped."""
        receiver = self.receive()
        between = proxy.Proxy(receiver.address)
        self.addCleanup(between.close)

        def changed(payload):
            offer = json.loads(payload)
            config = json.loads(offer["config"])
            change(config)
            return json.dumps(offer | {"config": json.dumps(config)}).encode()

        between.on("offer", proxy.payload(changed))
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(5)
        report = self.migrate(vm, between.address).report(1)
        self.assertRegex(report["error"], error)
        self.assertEqual(report["pages"]["raw"] + report["pages"]["zero"], 0)
        self.assertEqual(report["downtime_ms"], 0)
        vm.wait_ticks(5)
        self.end(vm)
        self.assertEqual(receiver.info()["state"], "listening")

    def test_a_vm_that_needs_another_host_is_refused_before_it_is_stopped(self):
        def leaf(config, number, register, change):
            row = next(each for each in config["cpuid"] if each[:2] == [number, 0])
            row[register] = change(row[register])

        def better_cpu(config):
            leaf(config, 7, ECX, lambda bits: bits | 1 << 31)

        def more_addresses(config):
            leaf(config, 0x80000008, EAX, lambda bits: bits + 1)

        def more_state(config):
            config["needs"]["xsave_bytes"] += 64

        def more_registers(config):
            config["needs"]["msrs"].append(0x40000000)

        for change, words in (
            (better_cpu, "CPU lacks .*31"), (more_addresses, "MAXPHYADDR"),
            (more_state, "XSAVE area"), (more_registers, "MSR 0x40000000"),
        ):
            with self.subTest(change.__name__):
                self.check_config_is_refused(change, f"{words}.*choose a host")

    def test_a_vm_with_other_devices_is_refused_and_the_device_named(self):
        def one_more(config):
            config["devices"].append({"id": "disk0", "version": 1})

        def one_newer(config):
            config["devices"][0]["version"] += 1

        def one_less(config):
            config["devices"] = [d for d in config["devices"] if d["id"] != "exit-port"]

        for change, error in (
            (one_more, "no device disk0"),
            (one_newer, "device serial0 is of version 2"),
            (one_less, "the device exit-port, which the guest's has not"),
        ):
            with self.subTest(error=error):
                self.check_config_is_refused(change, error)


if __name__ == "__main__":
    unittest.main()
