"""What the tests of one migration at a time share: guests, and what becomes of them."""

from harness import FerryTest

WORK = "tick=2 timer=100 fill=8 dirty=2000 ws=2 check regs echo end=byte"


class MigrationTest(FerryTest):
    def busy_guest(self, *args, cmdline=WORK, **options):
        vm = self.run_vm(cmdline, *args, **options)
        vm.stdout.wait_for(rb"^# fill done")
        vm.wait_ticks(20)
        return vm

    def large_guest(self, **options):
        """22 MiB to send: at a low cap, a migration that stays in its first round."""
        return self.busy_guest(cmdline="tick=2 fill=32 end=byte", memory="64M", **options)

    def finish(self, *legs):
        legs[-1].wait_ticks(30)
        self.end(legs[-1])
        return self.assert_sound(*legs)

    def in_first_round(self, source):
        return source.wait_info(
            lambda info: info.get("migration") and info["migration"]["wire_bytes"] > 100_000,
            "sending",
        )
