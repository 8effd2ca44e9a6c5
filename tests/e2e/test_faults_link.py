"""The link breaks at each message of the handover, in both ways in which links break: it is cut
(each side learns of it) or falls silent (nobody does). `before`: the message is lost with the link;
`after`: it still arrives."""

import unittest

import proxy
from cases import cases
from handover import HandoverTest
from harness import peer_timeout
from labels import labels
from proxy import cut, fall_silent, flip_bit, hold

STOP_AND_COPY = ("--mode", "stop-and-copy")  # its only round is the last


@labels("no-asan", "no-standard-kvm")
class TheLinkBreaks(HandoverTest):
    @cases({
        "is_silent_after_the_offer_arrived": ("offer", fall_silent, "after"),
        "is_cut_before_accept": ("accept", cut, "before"),
        "is_cut_after_accept": ("accept", cut, "after"),
        "is_silent_before_accept": ("accept", fall_silent, "before"),
        "is_cut_before_the_digests": ("digests", cut, "before", "--verify"),
        "is_silent_before_the_digests": ("digests", fall_silent, "before", "--verify"),
        "is_cut_in_the_first_round": ("landed", cut, "before"),
        "is_silent_in_the_first_round": ("landed", fall_silent, "before"),
        "is_cut_before_the_state": ("state", cut, "before"),
        "is_cut_after_the_state": ("state", cut, "after"),
        "is_silent_before_the_state": ("state", fall_silent, "before"),
        "is_silent_after_the_state": ("state", fall_silent, "after"),
        "is_cut_before_the_last_round": ("last_round", cut, "before"),
        "is_cut_after_the_last_round": ("last_round", cut, "after"),
        "is_silent_before_the_last_round": ("last_round", fall_silent, "before"),
        "is_silent_after_the_last_round": ("last_round", fall_silent, "after"),
        "is_cut_before_the_last_landed": ("landed", cut, "before", *STOP_AND_COPY),
        "is_cut_after_the_last_landed": ("landed", cut, "after", *STOP_AND_COPY),
        "is_silent_before_the_last_landed": ("landed", fall_silent, "before", *STOP_AND_COPY),
        "is_silent_after_the_last_landed": ("landed", fall_silent, "after", *STOP_AND_COPY),
        "is_cut_before_prepared": ("prepared", cut, "before"),
        "is_silent_before_prepared": ("prepared", fall_silent, "before"),
    })
    def before_prepared(self, frame, action, when, *options):
        self.break_before_prepared(frame, action, when, *options)

    @cases({
        "is_cut_after_prepared": ("prepared", cut, "after"),
        "is_silent_after_prepared": ("prepared", fall_silent, "after"),
        "is_cut_before_commit": ("commit", cut, "before"),
        "is_silent_before_commit": ("commit", fall_silent, "before"),
    })
    def before_commit(self, frame, action, when):
        """Nobody runs the guest until the link is back; then it goes on at the target."""
        self.begin()
        self.break_at(frame, action, when)
        self.assert_source_in_doubt()
        self.assert_target_waits()
        self.between.restore()
        self.assert_moved()

    @cases({
        "is_cut_after_commit": ("commit", cut, "after"),
        "is_silent_after_commit": ("commit", fall_silent, "after"),
        "is_cut_before_running": ("running", cut, "before"),
        "is_silent_before_running": ("running", fall_silent, "before"),
    })
    def after_commit(self, frame, action, when):
        """The target runs the guest; the source cannot know, until the link is back."""
        self.begin()
        self.break_at(frame, action, when)
        self.target.wait_ticks(20)
        self.assert_source_in_doubt()
        self.assert_at_most_one_runs()
        self.between.restore()
        self.assert_moved()

    @cases({
        "is_cut_after_running": (cut,),
        "is_silent_after_running": (fall_silent,),
    })
    def after_running(self, action):
        self.begin()
        self.break_at("running", action, "after")
        self.assertEqual(self.migration.report()["outcome"], "completed")
        self.assert_moved()

    def test_is_cut_before_the_offer_arrives(self):
        self.begin()
        self.break_at("offer", cut, "before")
        self.assert_stays()
        self.between.restore()
        self.assertTrue(self.target.running())  # nothing was begun: it still waits for a VM
        self.migration = self.migrate(self.source, self.between.address)
        self.assertEqual(self.migration.report()["outcome"], "completed")
        self.assert_moved()

    def test_is_silent_before_the_offer_arrives(self):
        self.begin()
        self.break_at("offer", fall_silent, "before")
        self.assert_stays()

    def test_is_silent_before_abort(self):
        self.begin()
        self.break_at("prepared", hold)
        silence = self.between.on("abort", fall_silent)
        self.source.cli("cancel")
        silence.wait(10)
        self.assertEqual(self.migration.report(1)["outcome"], "cancelled")
        self.source.wait_ticks(20)
        self.between.restore()
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_is_alive_and_commit_does_not_arrive(self):
        """Signs of life pass both ways: the source does not wait for them alone, and asks again."""
        self.begin()
        self.break_at("commit", lambda *_: proxy.HEADER.pack(proxy.ALIVE, 0, 0, 0))
        self.assert_moved()

    def test_and_breaks_again_while_it_is_asked_who_runs(self):
        for frame in ("inquire", "status"):
            with self.subTest(frame=frame):
                self.begin()
                self.break_at("commit", cut, "before")
                self.assert_source_in_doubt()
                again = self.between.on(frame, cut, "after")
                self.between.restore()
                again.wait(10)
                self.assert_source_in_doubt()
                self.assert_target_waits()
                self.between.restore()
                self.assert_moved()


@labels("no-standard-kvm")
class AStoppedTarget(HandoverTest):
    def test_that_lives_and_does_nothing_does_not_keep_the_guest_stopped(self):
        self.begin()
        self.break_at("prepared", hold)
        self.assert_stays()
        self.assertIn("was not ready", self.source.stderr.text())
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_that_had_prepared_lets_the_source_go_on_at_once(self):
        self.begin(timeout=60)
        self.break_at("prepared", hold)
        self.target.cli("stop")
        self.between.release()
        self.assert_stays()
        self.assertEqual(self.target.wait(), 0)
        self.assert_moves_elsewhere()


@labels("no-tsan", "no-standard-kvm")
class ABadLink(HandoverTest):
    def test_that_changes_a_page_is_found_by_verify(self):
        # (In a round before the last, the guest may write the page again and so mend it.)
        self.begin("--verify", "--compression", "none", *STOP_AND_COPY)
        self.break_at("pages_raw", flip_bit(-100))
        self.assert_stays()
        self.assertIn("page", self.migration.report(1)["error"])
        self.assert_target_gives_up()
        self.assert_moves_elsewhere()

    def test_that_changes_a_digest_is_found_by_verify(self):
        self.begin("--verify")
        self.break_at("digests", flip_bit(-1))
        self.assert_stays()
        self.assert_target_gives_up()

    def test_that_breaks_a_frame_leaves_the_guest_at_the_source(self):
        def spoil(_proxy, _direction, frame):
            return bytes([99]) + frame[1:]

        for frame in ("offer", "accept", "pages_zero", "landed", "state", "prepared"):
            with self.subTest(frame=frame):
                self.begin()
                self.break_at(frame, spoil)
                self.assert_stays()
                self.assert_at_most_one_runs()

    def test_that_breaks_a_frame_is_told_from_a_lost_one_by_the_exit_status(self):
        self.begin()
        self.break_at("state", lambda _proxy, _direction, frame: bytes([99]) + frame[1:])
        self.assert_stays()
        self.assertEqual(self.target.wait(), 76, self.target.stderr.text())

    def test_that_is_slow_is_not_taken_for_dead(self):
        self.begin(timeout=0.5)
        self.break_at("landed", hold)
        # Signs of life pass: for three timeouts nobody gives up.
        self.source.wait_ticks(int(3 * 500 / 2))
        self.assertTrue(self.migration.running())
        self.between.release()
        self.assertEqual(self.migration.report()["outcome"], "completed")
        self.assert_moved()

    def test_that_is_silent_from_the_start_ends_by_the_deadline(self):
        self.begin()
        self.between.fall_silent()
        self.migration = self.migrate(
            self.source, self.between.address, "--timeout", peer_timeout(0.5)
        )
        self.assert_stays()


if __name__ == "__main__":
    unittest.main()
