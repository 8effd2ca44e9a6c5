"""The handover of post-copy, broken at each of its messages; and what becomes of the VM when one side
ends while pages are missing."""

import signal
import time
import unittest

from handover import HandoverTest
from harness import DEADLINE
from labels import labels
from post_copy import SLOW_WORK, BrokenPostCopyTest, PostCopyTest
from proxy import cut, fall_silent, hold

PATIENT = 4.0  # nobody shall give up while the phase is held


class PostCopyHandover(HandoverTest):
    def begin(self, *options, timeout=1.0):
        super().begin("--mode", "post-copy", *options, timeout=timeout)


@labels("no-asan", "no-standard-kvm")
class TheLinkBreaks(PostCopyHandover):
    def after_commit(self, frame, action, when):
        """The guest runs at the target, as far as it gets; the source never runs it."""
        self.begin()
        self.break_at(frame, action, when)
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        self.assert_at_most_one_runs()
        self.between.restore()
        self.assert_moved()

    def test_at_each_message_before_the_source_stops_leaves_the_guest_there(self):
        for frame, when in (("accept", "before"), ("accept", "after"), ("missing", "before"),
                            ("missing", "after")):
            for action in (cut, fall_silent):
                with self.subTest(frame=frame, when=when, action=action.__name__):
                    self.break_before_prepared(frame, action, when)

    def test_at_each_message_after_the_source_stops_leaves_the_guest_there(self):
        for frame, when in (("state", "before"), ("state", "after"), ("post_copy", "before"),
                            ("prepared", "before")):
            for action in (cut, fall_silent):
                with self.subTest(frame=frame, when=when, action=action.__name__):
                    self.break_before_prepared(frame, action, when)

    # Those without ThreadSanitizer wait for minutes in all.
    @labels("no-tsan")
    def test_when_the_target_waits_for_a_page_of_the_state_leaves_the_guest_at_the_source(self):
        for frame, action in (("request", cut), ("request", fall_silent), ("page", cut),
                              ("page", fall_silent)):
            with self.subTest(frame=frame, action=action.__name__):
                self.begin("--prepaging", "none")  # else the pages that KVM wants come unasked
                rule = self.between.on(frame, action)
                self.migration = self.migrate(
                    self.source, self.between.address, *self.patience, *self.options
                )
                if not rule.done.wait(2):
                    self.skipTest("this host's KVM touches no page when it loads a state")
                if self.migration.wait(2 * DEADLINE) == 1 and "prepared" not in self.between.seen:
                    self.assertEqual(self.source.state(), "running")
                    self.between.restore()
                    self.assert_target_gives_up()
                    self.assert_moves_elsewhere()
                else:
                    self.between.restore()
                    self.source.cli("set", "--prepaging", "bubbling")
                    self.assert_moved()

    @labels("no-tsan")
    def test_after_commit_is_taken_up_again(self):
        for frame, when in (("commit", "after"), ("running", "before"), ("running", "after")):
            for action in (cut, fall_silent):
                with self.subTest(frame=frame, when=when, action=action.__name__):
                    self.after_commit(frame, action, when)


@labels("no-asan", "no-tsan")
class TheLinkBreaksBeforeCommit(PostCopyHandover):
    def before_commit(self, frame, action, when):
        """Nobody runs the guest until the link is back; then it goes on at the target."""
        self.begin()
        self.break_at(frame, action, when)
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        self.assertEqual(self.migration.report(1)["outcome"], "in-doubt")
        self.target.stderr.wait_for(rb"lost the link")
        self.assertEqual(self.target.info()["state"], "prepared")
        self.assert_stands_still(self.source, self.target)
        refused = self.target.cli("resume", "--force", check=False)
        self.assertIn("at the source alone", refused.stderr)
        self.assert_stands_still(self.target)
        self.between.restore()
        self.assert_moved()

    def test_and_a_guest_that_waits_goes_on_when_it_is_back(self):
        self.before_commit("prepared", cut, "after")

    @labels("no-standard-kvm")
    def test_at_each_message_leaves_a_guest_that_waits(self):
        for frame, action, when in (("prepared", fall_silent, "after"),
                                    ("commit", cut, "before"), ("commit", fall_silent, "before")):
            with self.subTest(frame=frame, action=action.__name__):
                self.before_commit(frame, action, when)


@labels("no-tsan", "no-standard-kvm")
class AKilledSideBeforeTheHandover(PostCopyHandover):
    def hold_at(self, frame):
        self.begin(timeout=PATIENT)
        self.break_at(frame, hold)

    def test_is_the_target_and_leaves_the_guest_at_the_source(self):
        for frame in ("missing", "state", "post_copy", "prepared"):
            with self.subTest(frame=frame):
                self.hold_at(frame)
                self.target.kill()
                self.assert_stays()
                self.assert_moves_elsewhere()

    def test_is_the_source_and_ends_the_receiver(self):
        for frame in ("missing", "state", "post_copy"):
            with self.subTest(frame=frame):
                self.hold_at(frame)
                self.source.kill()
                self.between.cut()  # and with it what it still had to say
                self.migration.wait()
                self.assert_target_gives_up()

    def test_is_the_source_of_a_prepared_guest_that_nobody_can_run(self):
        self.hold_at("commit")
        self.source.kill()
        self.between.cut()
        self.target.stderr.wait_for(rb"lost the link")
        refused = self.target.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("at the source alone", refused.stderr)
        self.assert_stands_still(self.target)
        self.target.signal(signal.SIGTERM)
        self.assertIn(self.target.wait(), (69, 128 + signal.SIGTERM))


@labels("no-asan", "no-standard-kvm")
class ADeadTarget(BrokenPostCopyTest):
    def kill(self):
        self.begin_through_proxy(cmdline=SLOW_WORK)
        self.go()
        self.wait_missing(self.target)
        self.target.wait_ticks(50)
        self.target.kill()
        self.assertEqual(self.migration.report(1)["outcome"], "in-doubt")

    def test_leaves_the_source_paused_which_says_what_can_be_done(self):
        self.kill()
        info = self.source.info()
        self.assertEqual(info["state"], "in-doubt")
        self.assertIn("lacks pages that are here", info["owner"])
        self.assertIn("resume --force", info["owner"])
        self.assertIn("resume --force", self.source.stderr.text())
        self.assert_stands_still(self.source)
        self.assertNotEqual(self.source.cli("resume", check=False).returncode, 0)
        self.assertNotEqual(self.source.cli("cancel", check=False).returncode, 0)
        self.assert_stands_still(self.source)

    def test_can_be_replaced_by_the_source_as_of_the_handover(self):
        self.kill()
        self.source.cli("resume", "--force")
        self.source.wait_info(lambda info: info["state"] == "running", "running")
        self.source.wait_ticks(20)
        target, report = self.move(self.source, "--mode", "post-copy", "--verify")
        self.assertIs(report["verified"], True)
        self.touch_all(target)
        self.finish(self.source, target)

    def test_lets_the_source_be_stopped(self):
        self.kill()
        self.source.cli("stop")
        self.assertEqual(self.source.wait(), 0)

    def test_that_hangs_is_waited_for(self):
        self.begin_through_proxy(cmdline=SLOW_WORK)
        self.go()
        self.wait_missing(self.target)
        self.target.suspend()
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        self.assert_stands_still(self.source)
        self.target.signal(signal.SIGCONT)
        self.source.wait_info(lambda info: info["state"] == "migrating", "back")
        self.source.cli("set", "--max-bandwidth", "8Gbit")
        self.assertEqual(self.source.wait(), 0)
        self.touch_all(self.target)
        self.finish(self.source, self.target)


@labels("no-asan", "no-standard-kvm")
class ADeadSource(BrokenPostCopyTest):
    def kill(self, cpus=1):
        self.begin_through_proxy(cmdline=SLOW_WORK, timeout=0.5, cpus=cpus)
        self.go()
        self.wait_missing(self.target)
        self.source.kill()
        self.between.cut()
        self.target.stderr.wait_for(rb"the link to it is lost")

    def wait_still(self):
        """Until it has run into a page that does not come; at the latest it is paused in the end."""
        end = time.monotonic() + DEADLINE
        while self.target.stdout.grows_within(0.4):
            self.assertLess(time.monotonic(), end, "the guest runs on")

    def test_pauses_the_guest_in_the_end_which_says_what_it_lacks(self):
        self.kill()
        info = self.target.info()
        self.assertIn(f"{info['arrival']['missing']} of its pages", info["owner"])
        self.target.stderr.wait_for(rb"the source has not come back")
        info = self.target.wait_info(lambda info: info["state"] == "paused", "paused")
        self.assertGreater(info["arrival"]["missing"], 0)
        self.assertIn("pages missing", info["owner"])
        self.assert_stands_still(self.target)
        refused = self.target.cli("resume", check=False)
        self.assertIn("their source is away", refused.stderr)
        self.target.cli("stop")
        self.assertEqual(self.target.wait(), 0)

    def test_lets_the_target_be_stopped_while_vcpus_wait(self):
        for vcpus in (1, 4):
            with self.subTest(vcpus=vcpus):
                self.kill(vcpus)
                self.wait_still()
                self.target.cli("pause")
                self.target.cli("stop")
                self.assertEqual(self.target.wait(), 0)

    def test_lets_the_target_be_terminated_while_vcpus_wait(self):
        self.kill()
        self.wait_still()
        self.target.signal(signal.SIGTERM)
        self.assertEqual(self.target.wait(), 128 + signal.SIGTERM)

    def test_that_hangs_is_waited_for_by_a_guest_that_then_goes_on(self):
        self.begin_through_proxy(cmdline=SLOW_WORK, timeout=0.5)
        self.go()
        self.wait_missing(self.target)
        self.source.suspend()
        self.target.wait_info(lambda info: info["state"] == "paused", "paused")
        self.source.signal(signal.SIGCONT)
        self.target.wait_info(lambda info: info["state"] == "running", "running again")
        self.complete_quietly()

    def test_that_hangs_does_not_resume_a_guest_that_somebody_paused(self):
        self.begin_through_proxy(cmdline=SLOW_WORK, timeout=0.5)
        self.go()
        self.wait_missing(self.target)
        self.source.suspend()
        self.target.wait_info(lambda info: info["state"] == "paused", "paused")
        self.target.cli("pause")
        self.source.signal(signal.SIGCONT)
        self.target.stderr.wait_for(rb"the source is back")
        self.assert_stands_still(self.target)
        self.target.cli("resume")
        self.complete_quietly()

    def complete_quietly(self):
        self.source.cli("set", "--max-bandwidth", "8Gbit")
        self.assertEqual(self.source.wait(), 0)
        self.touch_all(self.target)
        self.finish(self.source, self.target)


@labels("no-standard-kvm")
class ASourceThatIsAskedToEnd(BrokenPostCopyTest):
    def ask(self):
        self.begin_through_proxy()
        self.go()
        self.wait_missing(self.target)
        self.source.signal(signal.SIGTERM)
        self.source.stderr.wait_for(rb"Another signal or Ctrl-A X ends it now")

    def test_serves_on_until_its_pages_have_gone(self):
        self.ask()
        self.assert_completes()

    def test_waits_for_a_link_that_is_lost_too(self):
        self.begin_through_proxy(timeout=0.5)
        self.go()
        self.wait_missing(self.target)
        self.between.cut()
        self.source.stderr.wait_for(rb"the link to the destination is lost")
        self.source.signal(signal.SIGTERM)
        self.source.stderr.wait_for(rb"Another signal or Ctrl-A X ends it now")
        self.between.restore()
        self.source.cli("set", "--max-bandwidth", "8Gbit")
        self.assertEqual(self.source.wait(), 0)
        self.wait_walk(self.target)

    def test_ends_at_the_second_time(self):
        self.ask()
        lost = b"ends now: the VM ran elsewhere and lacks pages"
        self.assertEqual(self.source.insist(signal.SIGTERM, lost), 128 + signal.SIGTERM)
        self.target.stderr.wait_for(rb"the link to it is lost")
        self.target.cli("stop")


@labels("no-standard-kvm")
class AGuestThatEndsWithPagesMissing(PostCopyTest):
    def test_ends_both_sides_well(self):
        self.begin()
        self.target.write(b"q")
        self.assertEqual(self.target.wait(), 0, self.target.stderr.text())
        report = self.migration.report()
        self.assertEqual(report["outcome"], "completed")
        self.assertIn("has ended", report["owner"])
        self.assertEqual(self.source.wait(), 0)
        self.assertIn("has ended", self.source.stderr.text())
        self.assert_sound(self.source, self.target)

    def test_by_stop_ends_both_sides_well(self):
        self.begin()
        self.target.cli("stop")
        self.assertEqual(self.target.wait(), 0, self.target.stderr.text())
        report = self.migration.report()
        self.assertIn("has ended", report["owner"])
        self.assertEqual(self.source.wait(), 0)
        self.assert_sound(self.source, self.target)

    def test_by_a_signal_ends_the_source_well(self):
        self.begin()
        self.target.signal(signal.SIGTERM)
        self.assertEqual(self.target.wait(), 128 + signal.SIGTERM)
        self.assertIn("has ended", self.migration.report()["owner"])
        self.assertEqual(self.source.wait(), 0)

    def test_while_it_is_paused_ends_both_sides_well(self):
        self.begin(cpus=4)
        self.target.cli("pause")
        self.target.cli("stop")
        self.assertEqual(self.target.wait(), 0)
        self.assertIn("has ended", self.migration.report()["owner"])
        self.assertEqual(self.source.wait(), 0)


if __name__ == "__main__":
    unittest.main()
