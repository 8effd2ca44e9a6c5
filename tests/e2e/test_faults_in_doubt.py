"""The link breaks where the source cannot know whether the target runs the guest: what either may do
then, by itself or when it is told to, so that at most one runs it."""

import signal
import time
import unittest

from handover import HandoverTest
from labels import labels
from process import SCALE
from proxy import cut, hold, lose_the_source, lose_the_source_behind


@labels("no-tsan", "no-standard-kvm")
class InDoubt(HandoverTest):
    """The link is cut before Commit arrives: the source is in doubt, the target waits."""

    def break_the_link(self):
        self.begin()
        self.break_at("commit", cut, "before")
        self.assert_source_in_doubt()
        self.assert_target_waits()

    def test_neither_side_resumes_without_force(self):
        self.break_the_link()
        for vm in (self.source, self.target):
            refused = vm.cli("resume", check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("--force", refused.stderr)
        self.assert_stands_still(self.source, self.target)
        self.between.restore()
        self.target.wait_info(lambda info: info["arrived_by"], "told how the VM came")
        self.assert_moved()

    def test_cannot_be_cancelled(self):
        self.break_the_link()
        refused = self.source.cli("cancel", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("cannot be cancelled", refused.stderr)
        self.between.restore()
        self.assert_moved()

    def test_force_at_the_target_is_believed_by_the_source(self):
        self.break_the_link()
        self.target.cli("resume", "--force")
        self.target.wait_ticks(20)
        self.assert_at_most_one_runs()
        self.between.restore()
        self.assert_moved()

    def test_force_at_the_source_makes_the_target_let_go(self):
        self.break_the_link()
        self.source.cli("resume", "--force")
        self.source.wait_ticks(20)
        self.assert_at_most_one_runs()
        self.between.restore()
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_force_at_the_source_wins_over_an_inquiry_under_way(self):
        self.break_the_link()
        answer = self.between.on("status", hold)
        self.between.restore()
        answer.wait(10)
        self.source.cli("resume", "--force")
        self.source.wait_ticks(20)
        self.between.release()
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_a_commit_that_comes_after_the_source_was_forced_is_not_obeyed(self):
        """It waits on a connection that only the source knows to be lost."""
        self.begin(timeout=10)
        self.break_at("commit", lose_the_source)
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        answer = self.between.on("status", hold)
        self.between.welcome()
        answer.wait(10)
        asked_again = self.between.on("inquire", hold)
        self.source.cli("resume", "--force")
        asked_again.wait(10)
        self.between.release()
        self.source.wait_ticks(20)
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_a_commit_that_waited_while_the_target_was_stopped_is_not_obeyed(self):
        """The link is lost at the source alone, so that the target can read it afterwards."""

        def stop_the_target(*_):
            self.target.suspend()

        self.begin()
        lost = self.between.on("commit", lose_the_source_behind, "after")
        self.break_at("commit", stop_the_target)
        lost.wait(10)
        stopped_at = time.monotonic()
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        self.source.cli("resume", "--force")
        self.source.wait_ticks(20)
        time.sleep(max(0, stopped_at + 1.5 * SCALE - time.monotonic()))  # a gap is of this length
        self.between.welcome()
        self.target.signal(signal.SIGCONT)
        self.assert_target_gives_up()
        self.assertIn("stood still", self.target.stderr.text())
        self.assert_moves_elsewhere()

    def test_a_guest_that_ends_before_its_source_knows_of_it_is_not_run_again(self):
        self.begin()
        self.break_at("running", cut)
        self.assert_source_in_doubt()
        self.target.wait_ticks(10)
        self.target.write(b"q")
        self.target.wait_info(lambda info: "has ended" in info["owner"], "the end")
        self.between.restore()
        self.assertEqual(self.source.wait(), 0, self.source.stderr.text())
        self.assertIn("and has ended", self.source.stderr.text())
        self.assertEqual(self.target.wait(), 0, self.target.stderr.text())
        self.assert_sound(self.source, self.target)

    def test_force_at_the_source_is_refused_while_commit_is_out_again(self):
        self.break_the_link()
        answer = self.between.on("running", hold)
        self.between.restore()
        answer.wait(10)
        refused = self.source.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.target.wait_ticks(20)
        self.assert_stands_still(self.source)
        self.between.release()
        self.assert_moved()

    def test_force_at_the_target_is_refused_while_the_source_is_asking(self):
        for frame in ("status", "commit"):  # on its way back, and on its way there again
            with self.subTest(frame=frame):
                self.break_the_link()
                word = self.between.on(frame, hold)
                self.between.restore()
                word.wait(10)
                refused = self.target.cli("resume", "--force", check=False)
                self.assertNotEqual(refused.returncode, 0)
                self.assert_stands_still(self.source, self.target, seconds=0.1)
                self.between.release()
                self.assert_moved()

    def test_force_at_the_target_is_possible_again_when_the_source_is_lost_again(self):
        self.break_the_link()
        word = self.between.on("commit", cut)
        self.between.restore()
        word.wait(10)
        self.target.wait_info(lambda info: self.forced(), "forced")
        self.target.wait_ticks(20)
        self.between.restore()
        self.assert_moved()

    def forced(self):
        return self.target.cli("resume", "--force", check=False).returncode == 0

    def test_force_is_refused_at_a_target_whose_source_is_connected(self):
        self.begin(timeout=10)
        self.break_at("prepared", hold)
        refused = self.target.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.source.cli("cancel")
        self.assertEqual(self.migration.report(1)["outcome"], "cancelled")
        self.source.wait_ticks(20)
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_force_is_refused_at_a_target_that_receives(self):
        self.begin(timeout=10)
        self.break_at("landed", hold)
        refused = self.target.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        refused = self.source.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.between.release()
        self.assertEqual(self.migration.report()["outcome"], "completed")
        self.assert_moved()

    def test_another_receiver_at_that_address_is_no_answer(self):
        self.break_the_link()
        other = self.receive()
        asked = self.between.on("status", lambda *_: None, "after")
        self.between.restore(other.address)
        asked.wait(10)
        self.source.wait_info(
            lambda info: "another receiver" in info["migration"]["error"], "told of another"
        )
        self.assert_stands_still(self.source, self.target)
        self.between.restore(self.target.address)
        self.assert_moved()

    def test_the_source_looks_where_set_says(self):
        self.break_the_link()
        self.source.cli("set", "--to", self.target.address)
        self.assert_moved()

    def test_an_answer_that_was_lost_is_given_again(self):
        self.begin(timeout=10)
        again = self.between.on("acknowledged", lambda *_: None, "after", nth=2)
        self.break_at("acknowledged", hold)  # the first, which the source waits for a moment only
        self.assertEqual(self.migration.report()["outcome"], "completed")
        again.wait(10)
        self.assert_moved()

    def test_a_source_that_waits_for_an_answer_says_that_the_vm_has_left(self):
        self.begin(timeout=4)
        self.break_at("acknowledged", cut)
        self.assertEqual(self.migration.report()["outcome"], "completed")
        self.source.wait_info(lambda info: info["state"] == "gone", "gone")
        refused = self.source.cli("pause", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no VM runs here (the VM runs at", refused.stderr)
        self.between.restore()
        self.assert_moved()

    def test_the_target_answers_as_long_as_it_lives(self):
        self.begin()
        self.break_at("running", cut, "before")
        self.assert_source_in_doubt()
        self.target.wait_ticks(10)
        refused = self.migrate(self.target, self.receive())
        self.assertEqual(refused.wait(), 1)
        self.assertIn("has not yet acknowledged", refused.stderr.text())
        self.assertIn("has not yet acknowledged", self.target.info()["owner"])
        # Somebody says that the source is dead, and is mistaken. The VM goes on to a third process; the
        # second one has left with it, and nobody answers.
        self.target.cli("resume", "--force")
        third, _ = self.move(self.target)
        third.wait_ticks(10)
        self.assert_stands_still(self.source)
        self.source.cli("stop")
        self.assertEqual(self.source.wait(), 0)
        self.end(third)
        self.assert_sound(self.source, self.target, third)


if __name__ == "__main__":
    unittest.main()
