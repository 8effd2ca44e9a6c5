"""What people get wrong: each gets a clear error, and no process crashes or hangs."""

import contextlib
import gzip
import os
import signal
import socket
import unittest

import images
from bad_input import BadInputTest
from cases import cases
from harness import FERRY, GUEST, Process, Vm, silent_port
from labels import labels

USAGE, BAD_IMAGE, NO_INPUT, UNAVAILABLE, NO_PERMISSION = 64, 65, 66, 69, 77


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


if __name__ == "__main__":
    unittest.main()
