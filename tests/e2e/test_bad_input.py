"""What people and peers get wrong: each gets a clear error, and no process crashes or hangs."""

import contextlib
import gzip
import json
import os
import signal
import socket
import struct
import threading
import unittest

import images
import proxy
from cases import cases
from harness import FERRY, GUEST, FerryTest, Process, Vm, peer_timeout, silent_port
from labels import labels

PREAMBLE = struct.Struct("<8sII")
MAGIC = b"FERRY\r\n\x1a"
VERSION = 2
CONTROL, PAGES, INQUIRY = 1, 2, 3
GREETING = PREAMBLE.pack(MAGIC, VERSION, CONTROL)
EAX, ECX = 3, 5  # in a CPUID leaf of the offer
USAGE, BAD_IMAGE, NO_INPUT, UNAVAILABLE, NO_PERMISSION = 64, 65, 66, 69, 77


class BadInputTest(FerryTest):
    def assert_refused(self, process, status, *words):
        text = process.stderr.text()
        self.assertEqual(process.status, status, text)
        for word in words:
            self.assertRegex(text, word)
        self.assertNotIn("internal error", text)

    def run_once(self, *args):
        return self.ferry("run", *args)

    def failed_migration(self, to, *words):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(5)
        migration = self.migrate(vm, to, "--timeout", peer_timeout(1.0))
        report = migration.report(1)
        self.assertEqual(report["outcome"], "failed")
        for word in words:
            self.assertRegex(report["error"], word)
        self.assertIn("here", report["owner"])
        vm.wait_ticks(10)
        self.end(vm)
        self.assert_sound(vm)

    def file(self, data, suffix="elf"):
        path = self.path(suffix)
        with open(path, "wb") as file:
            file.write(data)
        return path


@labels("no-standard-kvm")
class NoKvm(BadInputTest):
    needs_kvm = False

    def in_other_dev(self, prepare, *args):
        """Runs ferry where /dev is as `prepare` (a shell command) makes it."""
        flags = "-m" if os.geteuid() == 0 else "-rm"
        command = ["unshare", flags, "sh", "-c", f'{prepare} && exec "$@"', "sh", FERRY, *args]
        process = self.start(Process, command)
        process.status = process.wait()
        return process

    def test_is_told_with_the_way_out(self):
        for args in (["run", "--kernel", GUEST], ["receive", "--listen", "tcp:127.0.0.1:0"]):
            done = self.in_other_dev("mount -t tmpfs none /dev", *args)
            self.assert_refused(done, UNAVAILABLE, "/dev/kvm", "modprobe|BIOS|load")

    def test_is_told_from_no_permission(self):
        if not os.path.exists("/dev/kvm"):
            self.skipTest("there is no /dev/kvm to be forbidden")
        forbid = "mount --bind /dev /dev && mount -o remount,bind,nodev /dev"
        for args in (["run", "--kernel", GUEST], ["receive", "--listen", "tcp:127.0.0.1:0"]):
            done = self.in_other_dev(forbid, *args)
            self.assert_refused(done, NO_PERMISSION, "/dev/kvm", "group|permission")

    def test_is_told_from_a_file_that_is_not_kvm(self):
        done = self.in_other_dev(
            "mount -t tmpfs none /dev && : > /dev/kvm", "run", "--kernel", GUEST
        )
        self.assert_refused(done, UNAVAILABLE, "not KVM")


@labels("no-tsan", "no-standard-kvm")
class ABadKernel(BadInputTest):
    @cases({
        "that_is_empty": (b"", "empty"),
        "that_is_no_elf": (b"#!/bin/sh\necho hello\n" * 100, "ELF"),
        "that_is_compressed": (gzip.compress(images.kernel()), "gzip", "decompress"),
        "that_has_no_pvh_note":
            (images.elf([(images.ENTRY, images.HALT, 4096)], note=b""), "PVH"),
        "that_is_a_bzimage_cut_short": (images.bzimage()[:-16], "truncated"),
        "that_is_a_bzimage_too_old": (images.bzimage(version=0x0204), r"2\.04", r"2\.12"),
        "that_is_a_bzimage_of_32_bits": (images.bzimage(flags=0), "32 bits"),
        "with_segments_that_overlap":
            (images.kernel(images.HALT, (images.ENTRY + 16, b"over")), "overlap"),
    })
    def refused(self, data, *words, memory="32M"):
        done = self.run_once("--kernel", self.file(data), "--memory", memory)
        self.assert_refused(done, BAD_IMAGE, *words)

    def test_that_is_missing(self):
        done = self.run_once("--kernel", f"{self.directory}/none")
        self.assert_refused(done, NO_INPUT, f"{self.directory}/none", "No such file")

    def test_that_is_a_directory(self):
        self.assert_refused(self.run_once("--kernel", self.directory), NO_INPUT, "directory")

    def test_that_is_truncated(self):
        image = images.kernel()
        for size in (3, 40, 64, 100, len(image) - 1):
            with self.subTest(size=size):
                self.refused(image[:size], "kernel")

    def test_that_is_a_bzimage_too_large_for_its_memory(self):
        self.refused(images.bzimage(), "--memory of at least 25M", memory="16M")

    def test_with_a_command_line_that_is_too_long(self):
        image = self.file(images.bzimage())
        done = self.run_once("--kernel", image, "--cmdline", "x" * 2048)
        self.assert_refused(done, BAD_IMAGE, "2048 bytes", "2047")

    def test_with_a_segment_outside_ram(self):
        self.refused(images.kernel(images.HALT, (64 << 20, b"far")), "memory|RAM")
        self.refused(images.kernel(images.HALT, (3 << 30, b"hole")), "memory|RAM", memory="5G")

    def test_with_an_initramfs_that_is_missing(self):
        done = self.run_once("--kernel", GUEST, "--initramfs", f"{self.directory}/none")
        self.assert_refused(done, NO_INPUT, "initramfs", "No such file")

    def test_with_an_initramfs_that_does_not_fit(self):
        big = self.path("cpio")
        with open(big, "wb") as file:
            file.truncate(64 << 20)
        done = self.run_once("--kernel", GUEST, "--initramfs", big, "--memory", "32M")
        self.assert_refused(done, BAD_IMAGE, "initramfs")


@labels("no-tsan", "no-standard-kvm")
class BadMemory(BadInputTest):
    def test_of_nothing(self):
        done = self.run_once("--kernel", GUEST, "--memory", "0")
        self.assert_refused(done, USAGE, "memory|RAM", "16 MiB")

    def test_of_no_size(self):
        done = self.run_once("--kernel", GUEST, "--memory", "lots")
        self.assert_refused(done, USAGE, "lots", "512M")

    def test_too_small_for_the_image(self):
        image = self.file(images.kernel(images.HALT, (20 << 20, b"high")))
        done = self.run_once("--kernel", image, "--memory", "16M")
        self.assert_refused(done, BAD_IMAGE, "memory|RAM")

    def test_beyond_the_host(self):
        done = self.run_once("--kernel", GUEST, "--memory", "900T")
        self.assert_refused(done, UNAVAILABLE, "this host has")


@labels("no-tsan", "no-standard-kvm")
class BadArguments(BadInputTest):
    def test_that_nobody_knows(self):
        self.assert_refused(self.ferry("run", "--kernel", GUEST, "--warp"), USAGE, "--warp")
        self.assert_refused(self.ferry("fly"), USAGE, "fly", "--help")
        self.assert_refused(self.ferry(), USAGE, "--help")

    def test_with_an_address_of_no_kind(self):
        done = self.ferry("receive", "--listen", "udp:127.0.0.1:1")
        self.assert_refused(done, USAGE, "udp:127.0.0.1:1", "tcp:")

    def test_with_a_serial_file_that_cannot_be_made(self):
        done = self.run_once("--kernel", GUEST, "--serial", f"file:{self.directory}/no/where")
        self.assert_refused(done, NO_INPUT, f"{self.directory}/no/where")

    def test_with_a_path_that_names_something_else(self):
        file, pipe, loop = self.file(b"x"), self.path("pipe"), self.path("loop")
        os.mkfifo(pipe)
        os.symlink(loop, loop)
        for option, path, status, cause in (
            ("--serial", f"file:{self.directory}", NO_INPUT, "Is a directory"),
            ("--serial", f"file:{file}/x", NO_INPUT, "Not a directory"),
            ("--serial", f"file:{loop}", NO_INPUT, "symbolic links"),
            ("--serial", f"file:{pipe}", UNAVAILABLE, "nobody reads that pipe"),
            ("--image-store", file, NO_INPUT, "Not a directory"),
            ("--image-store", pipe, NO_INPUT, "Not a directory"),
            ("--image-store", "/dev/null", NO_INPUT, "Not a directory"),
            ("--image-store", f"{file}/x", NO_INPUT, "Not a directory"),
            ("--initramfs", self.directory, NO_INPUT, "is a directory"),
            ("--initramfs", "/dev/zero", NO_INPUT, "neither a regular file nor a pipe"),
            ("--api-socket", self.directory, UNAVAILABLE, "a directory is there"),
            ("--api-socket", pipe, UNAVAILABLE, "no socket"),
            ("--api-socket", "/dev/null", UNAVAILABLE, "no socket"),
        ):
            with self.subTest(option=option, path=path):
                done = self.run_once("--kernel", GUEST, option, path)
                self.assert_refused(done, status, path.removeprefix("file:"), cause)

    def test_with_a_name_that_would_pass_for_another_line(self):
        done = self.run_once("--kernel", GUEST, "--name", "x\nlistening on tcp:127.0.0.1:1")
        self.assert_refused(done, USAGE, "printable")


@labels("no-tsan", "no-standard-kvm")
class ABadAddress(BadInputTest):
    def test_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = self.ferry("receive", "--listen", f"tcp:127.0.0.1:{port}")
        self.assert_refused(done, UNAVAILABLE, str(port), "in use")

    def test_of_a_socket_in_use(self):
        first = self.receive("unix")
        done = self.ferry("receive", "--listen", first.address)
        self.assert_refused(done, UNAVAILABLE, first.address, "in use")
        self.assertTrue(first.running())

    def test_of_a_socket_left_behind(self):
        path = self.path("sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        receiver = self.start(Process, [FERRY, "receive", "--listen", f"unix:{path}"])
        receiver.stderr.wait_for(rb"^listening on ")

    def test_of_a_file_that_is_no_socket_is_left_alone(self):
        path = self.file(b"precious")
        done = self.ferry("receive", "--listen", f"unix:{path}")
        self.assert_refused(done, UNAVAILABLE, path, "no socket")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"precious")

    def test_of_a_directory(self):
        done = self.ferry("receive", "--listen", f"unix:{self.directory}")
        self.assert_refused(done, UNAVAILABLE, self.directory, "a directory")

    def test_of_a_control_socket_that_another_process_has_by_now(self):
        vm = self.run_vm("tick=5 end=byte")
        vm.wait_ready()
        os.rename(vm.api, self.path("moved"))
        other = self.start(
            Vm, [FERRY, "receive", "--listen", "tcp:127.0.0.1:0", "--api-socket", vm.api], api=vm.api
        )
        other.wait_ready()
        self.end(vm)
        self.assertEqual(other.info()["state"], "listening")

    def test_of_a_name_is_listened_on_at_each_of_its_addresses(self):
        receiver = self.start(Process, [FERRY, "receive", "--listen", "tcp:localhost:0"])
        line = receiver.stderr.wait_for(rb"^listening on tcp:localhost:(\d+)\n")
        port = int(line[1])
        heard = 0
        for family, *_, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
            with socket.socket(family) as probe, contextlib.suppress(OSError):
                probe.bind((address[0], 0))  # an address that this host has
                probe.connect(address[:2])
                heard += 1
        self.assertGreater(heard, 0)
        receiver.signal(signal.SIGTERM)
        receiver.wait()
        self.assertEqual(receiver.stderr.text().count("listening on"), 1)

    def test_with_too_long_a_path(self):
        path = f"{self.directory}/{'x' * 120}"
        done = self.ferry("receive", "--listen", f"unix:{path}")
        self.assert_refused(done, USAGE, "shorter")
        done = self.run_once("--kernel", GUEST, "--api-socket", path)
        self.assert_refused(done, USAGE, "shorter")

    def test_of_a_control_socket_that_is_taken(self):
        vm = self.run_vm("tick=5")
        vm.wait_ready()
        done = self.run_once("--kernel", GUEST, "--api-socket", vm.api)
        self.assert_refused(done, UNAVAILABLE, vm.api, "in use")
        self.assertEqual(vm.info()["state"], "running")

    def test_that_cannot_be_resolved(self):
        done = self.ferry("receive", "--listen", "tcp:no.such.host.invalid:0")
        self.assert_refused(done, UNAVAILABLE, "no.such.host.invalid", "resolve")

    def test_to_migrate_to_that_cannot_be_resolved(self):
        self.failed_migration("tcp:no.such.host.invalid:7000", "no.such.host.invalid", "resolve")

    def test_to_migrate_to_where_nobody_listens(self):
        with silent_port() as port:
            self.failed_migration(f"tcp:127.0.0.1:{port}", str(port), "refused")
        self.failed_migration(f"unix:{self.directory}/none", "none", "No such file")


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
