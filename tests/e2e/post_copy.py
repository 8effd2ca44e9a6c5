"""What the tests of post-copy share: guests, a phase that lasts, and what must hold of a report."""

import proxy
from guest_output import GuestOutput
from harness import DEADLINE, FerryTest, pages_sent, peer_timeout

# Whatever the guest touches comes at once, so a phase lasts only where it touches little.
WORK = "tick=2 timer=100 fill=8 dirty=2000 ws=2 check regs echo end=byte"
SLOW_WORK = "tick=2 fill=32 dirty=100 check=300 touch=sequential end=byte"
CAP = ("--max-bandwidth", "2Mbit")


class PostCopyTest(FerryTest):
    def busy_guest(self, cmdline=WORK, **options):
        vm = self.run_vm(cmdline, **options)
        vm.stdout.wait_for(rb"^# fill done")
        vm.wait_ticks(20)
        return vm

    def finish(self, *legs):
        legs[-1].wait_ticks(30)
        self.end(legs[-1])
        return self.assert_sound(*legs)

    def begin(self, *options, cmdline=SLOW_WORK, memory="64M", cpus=1, receive=(), address=None):
        """A guest on its way that has arrived, and lacks pages for as long as the cap is there."""
        self.source = self.busy_guest(cmdline, memory=memory, cpus=cpus)
        self.target = self.receive("tcp", *receive)
        self.start_migration(*options, address=address)
        self.wait_missing(self.target)

    def start_migration(self, *options, address=None):
        self.migration = self.migrate(
            self.source, address or self.target.address, "--mode", "post-copy", *CAP, *options
        )

    def wait_missing(self, target):
        """The VM is there and lacks pages."""
        return target.wait_info(
            lambda info: info["arrival"] and info["arrival"]["missing"] > 0, "short of pages"
        )

    def complete(self):
        """Lifts the cap; the migration then ends well. Returns its report."""
        self.source.cli("set", "--max-bandwidth", "8Gbit", "--prepaging", "bubbling")
        report = self.migration.report()
        self.assertEqual(report["outcome"], "completed")
        self.assertEqual(self.source.wait(), 0, self.source.stderr.text())
        self.wait_all_here(self.target)
        return report

    def wait_all_here(self, target):
        return target.wait_info(lambda info: info["arrival"]["missing"] == 0, "whole")

    def wait_walk(self, target):
        """Until the guest has looked at each of its pages here, from the first to the last."""
        walks = rb"^# check walks=(\d+)"
        first = target.stdout.wait_for(walks)
        wanted = int(first[1]) + 2  # the first of them may have begun before
        target.stdout.wait_until(
            lambda data: any(
                int(match[1]) >= wanted
                for match in GuestOutput(data).matching(r"^check walks=(\d+)")
            ),
            2 * DEADLINE, "a whole walk",
        )

    def touch_all(self, target):
        """A guest with `touch`, however slow it is otherwise, reads each of its pages once."""
        target.write(b"t")
        target.stdout.wait_for(rb"^# touch pass=\d+ done reads=(\d+) first=\1 ", 2 * DEADLINE)

    # What must hold of a report.

    def assert_pure(self, report):
        """Every page travelled once, or never: it was never touched."""
        pages = report["pages"]
        self.assertEqual(report["mode"], "post-copy")
        self.assertIsNone(report["switched"])
        self.assertEqual(report["rounds"], [])
        self.assertEqual(pages["resent"], 0)
        self.assert_adds_up(report)
        self.assertEqual(pages["demand"] + pages["pushed"] + pages["unpopulated"], pages["total"])

    def assert_adds_up(self, report):
        pages = report["pages"]
        sent = pages_sent(pages) + pages["duplicate"]
        before = sum(each["pages"] for each in report["rounds"])
        self.assertEqual(before + pages["demand"] + pages["pushed"], sent)
        self.assertEqual(pages["unpopulated"] + sent - pages["resent"], pages["total"])
        self.assertGreater(report["downtime_ms"], 0)
        self.assertLess(report["downtime_ms"], report["total_ms"])
        for name in ("stop", "state", "restore", "commit"):
            self.assertGreater(report["phases_ms"][name], 0, name)


class BrokenPostCopyTest(PostCopyTest):
    """The phase goes through a proxy. The guest looks at its pages as fast as these come."""

    def begin_through_proxy(
        self, *options, cmdline="tick=2 fill=32 dirty=500 check end=byte", timeout=1.0, cpus=1,
        receive=(),
    ):
        self.patience = ("--timeout", peer_timeout(timeout))
        self.source = self.busy_guest(cmdline, memory="64M", cpus=cpus)
        self.target = self.receive("tcp", *self.patience, *receive)
        self.between = proxy.Proxy(self.target.address)
        self.addCleanup(self.between.close)
        self.options = (*self.patience, *options)

    def go(self):
        self.start_migration(*self.options, address=self.between.address)

    def wait_for(self, rule):
        if not rule.done.wait(2 * DEADLINE):
            told = [each.stderr.text() for each in (self.migration, self.source, self.target)]
            self.fail(f"the frame never came by; seen {self.between.seen[-50:]}: {told}")

    def assert_completes(self):
        """By itself, but for the cap; and the guest finds every page as it was."""
        report = self.complete()
        self.wait_walk(self.target)
        self.finish(self.source, self.target)
        return report
