"""Disks that a server has, over NBD."""

import os
import unittest

from cases import cases
from handover import HandoverTest
from harness import DEADLINE, FerryTest
from labels import labels
from nbd import NbdServer

DISK = "tick=2 disk=64 end=byte"
DISK_ERROR = 6  # of the guest
READ_OR_WRITE, FLUSH = "[01]", "4"


@labels("no-standard-kvm", "no-tsan")
class ADiskOverNbd(FerryTest):
    def serve(self, *arguments):
        return NbdServer(self, *(arguments or ("memory", "8M")))

    def refused(self, status, disk, **options):
        vm = self.run_vm("tick=2", "--disk", disk, **options)
        self.assertEqual(vm.wait(), status, vm.stderr.text())
        return vm.stderr.text()

    def assert_fails(self, vm, server, kinds, why):
        """The guest ends, as its disk fails a request of these kinds."""
        self.assertEqual(vm.wait(), DISK_ERROR, vm.stdout.text())
        self.assertRegex(vm.stdout.text(), rf"(?m)^# error disk status=1 kind={kinds} ")
        self.assertIn(f"disk '{server.disk}': cannot ", vm.stderr.text())
        self.assertIn(why, vm.stderr.text())

    def test_is_written_and_read_by_a_guest_that_checks_it(self):
        vm = self.run_vm("tick=2 disk=64 end=ticks:200", "--disk", self.serve().disk)
        self.assertEqual(vm.wait(), 0, vm.stdout.text())
        self.assertRegex(self.assert_sound(vm).matching(r"^(end ticks=.*)")[-1][1],
                         r"\bdisk=\d{3,}/\d{3,}")

    def test_that_is_none_is_refused(self):
        server = self.serve("--readonly", "memory", "8M")
        self.assertIn("read-only, it needs less", self.refused(77, server.disk))
        server.kill()
        self.assertIn("No such file", self.refused(66, server.disk))
        self.assertIn("is empty", self.refused(66, self.serve("memory", "0").disk))
        self.assertIn("is a URI", self.refused(64, "nbd:somewhere"))

    def test_needs_a_library_and_names_it(self):
        broken = self.path("lib")
        os.mkdir(broken)
        with open(f"{broken}/libnbd.so.0", "w", encoding="ascii") as library:
            library.write("none")
        output = self.refused(71, "nbd:nbd://localhost/",
                              env={**os.environ, "LD_LIBRARY_PATH": broken})
        self.assertIn("libnbd0", output)

    def test_is_not_taken_by_a_receiver_that_was_not_told_of_it(self):
        source = self.run_vm(DISK, "--disk", self.serve().disk)
        source.wait_ticks(1)
        report = self.migrate(source, self.receive()).report(status=1)
        self.assertIn("'ferry receive --disk id=disk0,nbd:URI'", report["error"])
        source.wait_ticks(5)
        self.end(source)

    def test_is_not_mistaken_for_another(self):
        source = self.run_vm(DISK, "--disk", self.serve().disk)
        source.wait_ticks(1)
        file = self.path("disk")
        with open(file, "wb") as disk:
            disk.truncate(8 << 20)
        for other in (file, self.serve("memory", "4M").disk):
            target = self.receive("tcp", "--disk", f"id=disk0,{other}")
            report = self.migrate(source, target).report(status=1)
            self.assertIn("both hosts must see the same disk", report["error"])
        source.wait_ticks(5)
        self.end(source)

    def test_fails_the_guests_requests_when_its_server_dies(self):
        server = self.serve()
        vm = self.run_vm(DISK, "--disk", server.disk)
        vm.wait_ticks(5)
        server.kill()
        self.assert_fails(vm, server, READ_OR_WRITE, "the connection is lost")

    def test_is_found_again_and_tells_the_guest_that_writes_may_be_lost(self):
        file = self.path("disk")
        with open(file, "wb") as disk:
            disk.truncate(8 << 20)
        server = self.serve("file", file)
        vm = self.run_vm(DISK, "--disk", server.disk)
        vm.wait_ticks(5)
        vm.cli("pause")
        server.kill()
        server.start()
        server.wait_connected()
        vm.cli("resume")
        self.assert_fails(vm, server, FLUSH, "not flushed may be lost")

    def test_does_not_hold_up_the_end_of_its_process_when_its_server_dies(self):
        server = self.serve()
        vm = self.run_vm(DISK, "--disk", server.disk)
        vm.wait_ticks(5)
        vm.cli("pause")
        server.kill()
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0, vm.stderr.text())


@labels("no-standard-kvm", "no-tsan")
class AServerThatHangs(HandoverTest):
    """The migration does not hang with it, and the guest stays where it is."""

    workload = "disk=64"

    def begin(self, *options, **more):
        # With several threads nbdkit ends when it is to answer on a connection that is gone.
        self.server = NbdServer(self, "--threads=1", "memory", "1M")
        self.devices = ("--disk", self.server.disk)
        self.parts = ("--disk", f"id=disk0,{self.server.disk}")
        super().begin(*options, **more)

    def test_before_the_target_has_the_disk_is_refused_there(self):
        self.begin(timeout=20)
        self.server.stop()
        report = self.migrate(self.source, self.target, *self.patience).report(1)
        self.assertIn("cannot connect: the server does not answer", report["error"])
        self.server.go_on()
        self.source.wait_ticks(20)
        self.end(self.source)
        self.assert_sound(self.source)

    @labels("slow", "no-asan", "no-tsan")
    def test_once_the_target_has_the_disk_fails_the_migration_and_the_guests_requests(self):
        self.begin()
        self.break_at("accept", lambda *_: self.server.stop())
        self.assertTrue(self.migration.report(1)["error"])
        self.assertEqual(self.source.wait(2 * DEADLINE), DISK_ERROR, self.source.stderr.text())
        self.assertRegex(self.source.stderr.text(), "migration failed, .*: the VM is here")
        self.assertIn("the server does not answer", self.source.stderr.text())
        self.assertEqual(self.target.stdout.bytes(), b"")

    def test_holds_up_the_end_of_a_process_for_seconds_only(self):
        server = NbdServer(self, "--threads=1", "memory", "1M")
        vm = self.run_vm("tick=2 disk=64", "--disk", server.disk)
        vm.wait_ticks(5)
        server.stop()
        vm.wait_ticks(5)
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0, vm.stderr.text())
        self.assertIn("disk0 does not answer, and the process ends without it", vm.stderr.text())
        self.assertFalse(os.path.exists(vm.api))


@labels("slow")
class AcrossLegs(FerryTest):
    @cases({
        "one_vcpu_keeps_its_disk_over_nbd": (1,),
        "two_vcpus_keep_their_disk_over_nbd": (2,),
    })
    def a_guest_with(self, cpus):
        server = NbdServer(self, "memory", "8M")
        visited = [self.run_vm("tick=2 fill=8 dirty=2000 ws=2 check disk=256 end=byte",
                               "--disk", server.disk, cpus=cpus)]
        visited[0].stdout.wait_for(rb"^# fill done")
        for mode in ("pre-copy", "post-copy") * 2:
            target, report = self.move(visited[-1], "--verify", "--mode", mode,
                                       receive=["--disk", f"id=disk0,{server.disk}"])
            self.assertIs(report["verified"], True)
            visited.append(target)
            target.wait_ticks(20)
        self.end(visited[-1])
        output = self.assert_sound(*visited)
        self.assertRegex(output.matching(r"^(end ticks=.*)")[-1][1], r"\bdisk=\d{3,}/\d{3,}")


if __name__ == "__main__":
    unittest.main()
