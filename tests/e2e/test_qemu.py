"""The tiny guest is no more Ferry's than QEMU's: the same image boots there."""

import shutil
import struct
import unittest

from guest_output import GuestOutput
from harness import GUEST, FerryTest, Process
from labels import labels

QEMU = "qemu-system-x86_64"
BLOCK = 4096
BLOCKS = 256


@labels("no-standard-kvm")
class TheTinyGuestInQemu(FerryTest):
    needs_kvm = False

    def boot(self, machine, cmdline, *devices):
        if shutil.which(QEMU) is None:
            self.skipTest(f"{QEMU} is not installed")
        return self.start(
            Process,
            [QEMU, *machine, "-cpu", "max,arch-capabilities=off", "-m", "64", "-kernel", GUEST,
             "-append", cmdline, "-nodefaults", "-no-user-config", "-display", "none",
             "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", *devices],
        )

    def test_boots_on_a_microvm_and_ticks(self):
        # QEMU's own emulator serves where there is no KVM, and some KVM do not let QEMU set the MSR
        # of that feature.
        vm = self.boot(["-M", "microvm", "-accel", "kvm", "-accel", "tcg"],
                       "tick=5 fill=4 check end=ticks:120")
        vm.stdout.wait_for(rb"^# tick 104 ")
        self.assertEqual(vm.wait(), 1, vm.stderr.text())  # 2 N + 1 for the guest's 0
        output = GuestOutput(vm.stdout.bytes())
        self.assertEqual(output.problems(), [])
        self.assertEqual(output.ticks, 120)

    def boot_with_disk(self, cmdline, *devices):
        """A PC, by QEMU's emulator: some KVM do not run its firmware. Also the disk's file."""
        disk = self.path("disk")
        with open(disk, "wb") as file:
            file.truncate(BLOCKS * BLOCK)
        vm = self.boot(["-M", "q35", "-accel", "tcg"], f"disk={BLOCKS} {cmdline}",
                       "-drive", f"if=none,id=disk,format=raw,file={disk}",
                       "-device", "virtio-blk-pci,disable-legacy=on,drive=disk", *devices)
        return vm, disk

    def test_drives_a_disk_and_an_entropy_device(self):
        vm, disk = self.boot_with_disk("rng tick=5 end=ticks:120",
                                       "-device", "virtio-rng-pci,disable-legacy=on")
        self.assertEqual(vm.wait(), 1, vm.stderr.text() + vm.stdout.text())
        output = GuestOutput(vm.stdout.bytes())
        self.assertEqual(output.problems(), [])
        (end,) = output.matching(r"^end .* disk=(\d+)/(\d+) rng=(\d+)")
        for count in end.groups():
            self.assertGreater(int(count), 0)
        with open(disk, "rb") as file:
            blocks = [file.read(BLOCK) for _ in range(BLOCKS)]
        for index, block in enumerate(blocks):
            address, generation = struct.unpack_from("<QQ", block)
            if generation != 0:
                self.assertEqual(address, index * BLOCK)

    def test_finds_that_its_disk_lost_what_it_wrote(self):
        vm, disk = self.boot_with_disk("tick=5")
        vm.stdout.wait_for(rb"^# tick 104 ")
        with open(disk, "r+b") as file:
            file.write(bytes(BLOCKS * BLOCK))
        self.assertEqual(vm.wait(), 13, vm.stdout.text())  # 2 N + 1 for the guest's 6
        vm.stdout.wait_for(rb"^# error disk block \d+ (lost|torn) ")

    def test_names_the_option_whose_device_is_missing(self):
        for option in (f"disk={BLOCKS + 1}", "rng"):
            vm, _ = self.boot_with_disk(option)
            self.assertEqual(vm.wait(), 9, vm.stdout.text())  # 2 N + 1 for the guest's 4
            vm.stdout.wait_for(rb"^# error option " + option.split("=")[0].encode())


if __name__ == "__main__":
    unittest.main()
