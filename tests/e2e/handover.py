"""What the tests of the handover share: a guest, a receiver, and a proxy between them."""

import proxy
from harness import DEADLINE, FerryTest, peer_timeout

PATIENT = 4.0  # nobody shall give up while a step is held
CMDLINE = "tick=2 fill=4 dirty=500 check echo end=byte"


class HandoverTest(FerryTest):
    workload = ""
    memory = ()  # what the guest's RAM is
    transport = "tcp"
    devices = ()  # what the guest's machine has besides
    parts = ()  # what a receiver needs for that

    def begin(self, *options, timeout=1.0):
        """A running guest and a receiver; both lose patience after `timeout` seconds. On a slow machine
        `auto` would go over to post-copy, which has tests of its own."""
        self.patience = ("--timeout", peer_timeout(timeout))
        self.options = options if "--mode" in options else ("--mode", "pre-copy", *options)
        self.source = self.run_vm(f"{CMDLINE} {self.workload}", *self.memory, *self.devices)
        self.source.stdout.wait_for(rb"^# fill done")
        self.source.wait_ticks(10)
        self.target = self.receive(self.transport, *self.patience, *self.parts)
        self.between = self.make_proxy()
        self.addCleanup(self.between.close)

    def make_proxy(self):
        return proxy.Proxy(self.target.address)

    def kill_target_at(self, frame):
        self.begin(timeout=PATIENT)
        self.break_at(frame, proxy.hold)
        self.target.kill()

    def kill_source_at(self, frame):
        self.begin(timeout=PATIENT)
        self.break_at(frame, proxy.hold)
        self.source.kill()
        self.between.cut()  # and with it what it still had to say
        self.assertNotEqual(self.migration.wait(), 0)

    def break_at(self, frame, action, when="before", nth=1):
        """Migrates, and returns when the action was taken at that frame."""
        rule = self.between.on(frame, action, when, nth)
        self.migration = self.migrate(
            self.source, self.between.address, *self.patience, *self.options
        )
        if not rule.done.wait(DEADLINE):
            told = [each.stderr.text() for each in (self.migration, self.source, self.target)]
            self.fail(f"no frame {frame} came by after {self.between.seen}: {told}")

    def assert_at_most_one_runs(self):
        states = [vm.state() for vm in (self.source, self.target)]
        self.assertLessEqual(states.count("running"), 1, states)

    def break_before_prepared(self, frame, action, when, *options):
        """The guest stays, whatever the target has; the target gives up at the latest when the link
        is back."""
        self.begin(*options)
        self.break_at(frame, action, when)
        self.assert_stays()
        if self.target.running():
            self.assert_at_most_one_runs()
        self.between.restore()
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    # What a fault leads to.

    def assert_stays(self):
        """The migration failed and the guest goes on at the source."""
        report = self.migration.report(1)
        self.assertEqual(report["outcome"], "failed")
        self.assertTrue(report["error"])
        self.assertIn("here", report["owner"])
        self.source.wait_ticks(20)
        self.assertEqual(self.source.info()["state"], "running")
        self.assertEqual(self.target.stdout.bytes(), b"")

    def assert_target_gives_up(self):
        self.assertEqual(self.target.wait(), 69, self.target.stderr.text())
        self.assertEqual(self.target.stdout.bytes(), b"")

    def assert_source_in_doubt(self):
        report = self.migration.report(1)
        self.assertEqual(report["outcome"], "in-doubt")
        self.assertIn("in doubt", self.migration.stderr.text())
        info = self.source.info()
        self.assertEqual(info["state"], "in-doubt")
        self.assertEqual(info["migration"]["outcome"], "in-doubt")
        self.assertIn("resume --force", info["owner"])
        self.assert_stands_still(self.source)

    def assert_force_ends_the_doubt(self):
        self.assert_source_in_doubt()
        self.source.cli("resume", "--force")
        self.source.wait_ticks(20)
        self.source.wait_info(lambda info: info["state"] == "running", "running")
        self.assert_moves_elsewhere()

    def assert_target_waits(self):
        """It holds the whole VM, lost the link, and says so."""
        self.target.stderr.wait_for(rb"lost the link")
        info = self.target.wait_info(lambda info: "resume --force" in info["owner"], "on its own")
        self.assertEqual(info["state"], "prepared")
        self.assert_stands_still(self.target)

    def assert_moved(self):
        """The source left and the guest goes on at the target, without a gap."""
        self.assertEqual(self.source.wait(2 * DEADLINE), 0, self.source.stderr.text())
        self.target.wait_ticks(20)
        self.assertEqual(self.target.info()["state"], "running")
        self.end(self.target)
        self.assert_sound(self.source, self.target)

    def assert_moves_elsewhere(self):
        """The source, which the fault left with the VM, can migrate it to a third process."""
        third, report = self.move(self.source, "--verify", receive=self.parts)
        self.assertIs(report["verified"], True)
        third.wait_ticks(20)
        self.end(third)
        self.assert_sound(self.source, third)
