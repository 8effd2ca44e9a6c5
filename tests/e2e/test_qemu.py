"""The tiny guest is no more Ferry's than QEMU's: the same image boots there."""

import shutil
import unittest

from guest_output import GuestOutput
from harness import GUEST, FerryTest, Process
from labels import labels

QEMU = "qemu-system-x86_64"


@labels("no-standard-kvm")
class TheTinyGuestInQemu(FerryTest):
    needs_kvm = False

    def test_boots_on_a_microvm_and_ticks(self):
        if shutil.which(QEMU) is None:
            self.skipTest(f"{QEMU} is not installed")
        # QEMU's own emulator serves where there is no KVM, and some KVM do not let QEMU set the MSR
        # of that feature.
        vm = self.start(
            Process,
            [QEMU, "-M", "microvm", "-accel", "kvm", "-accel", "tcg", "-cpu",
             "max,arch-capabilities=off",
             "-m", "64", "-kernel", GUEST, "-append", "tick=5 fill=4 check end=ticks:120",
             "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio",
             "-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
        )
        vm.stdout.wait_for(rb"^# tick 104 ")
        self.assertEqual(vm.wait(), 1, vm.stderr.text())  # 2 N + 1 for the guest's 0
        output = GuestOutput(vm.stdout.bytes())
        self.assertEqual(output.problems(), [])
        self.assertEqual(output.ticks, 120)


if __name__ == "__main__":
    unittest.main()
