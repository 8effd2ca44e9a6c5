"""One side is killed (SIGKILL) in each phase, which the proxy holds by keeping back a frame."""

import unittest

from cases import cases
from handover import PATIENT, HandoverTest
from labels import labels
from proxy import hold


@labels("no-tsan", "no-standard-kvm")
class AKilledTarget(HandoverTest):
    @cases({
        "in_the_first_round_leaves_the_guest_at_the_source": ("landed",),
        "after_the_stop_leaves_the_guest_at_the_source": ("state",),
        "that_has_prepared_leaves_the_guest_at_the_source": ("prepared",),
    })
    def leaves_the_guest_at_the_source(self, frame):
        self.kill_target_at(frame)
        self.assert_stays()
        self.assert_moves_elsewhere()

    def test_before_commit_arrives_leaves_a_doubt_that_force_ends(self):
        self.kill_target_at("commit")
        self.assert_force_ends_the_doubt()

    def test_that_ran_the_guest_leaves_a_doubt_that_stop_ends(self):
        self.begin(timeout=PATIENT)
        self.break_at("running", hold)
        self.target.wait_ticks(20)
        self.target.kill()
        self.assert_source_in_doubt()
        self.source.cli("stop")
        self.assertEqual(self.source.wait(), 0)
        self.assert_sound(self.source, self.target)


@labels("no-tsan", "no-standard-kvm")
class AKilledSource(HandoverTest):
    @cases({
        "after_prepared_leaves_a_guest_that_goes_on_by_force": ("prepared",),
        "before_commit_arrives_leaves_a_guest_that_goes_on_by_force": ("commit",),
    })
    def goes_on_by_force(self, frame):
        self.kill_source_at(frame)
        self.assert_target_waits()
        refused = self.target.cli("resume", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assert_stands_still(self.target)
        self.target.cli("resume", "--force")
        self.target.wait_ticks(20)
        self.assertEqual(self.target.info()["state"], "running")
        third, _ = self.move(self.target, "--verify")
        third.wait_ticks(20)
        self.end(third)
        self.assert_sound(self.source, self.target, third)

    @cases({
        "in_the_first_round_ends_the_receiver": ("landed",),
        "after_the_stop_ends_the_receiver": ("state",),
    })
    def ends_the_receiver(self, frame):
        self.kill_source_at(frame)
        self.assert_target_gives_up()

    def test_after_commit_leaves_a_guest_that_runs(self):
        self.begin(timeout=PATIENT)
        self.break_at("running", hold)
        self.source.kill()
        self.target.wait_ticks(50)
        self.assertEqual(self.target.info()["state"], "running")
        self.end(self.target)
        self.assert_sound(self.source, self.target)


@labels("no-tsan", "no-standard-kvm")
class AKilledClient(HandoverTest):
    def test_does_not_leave_the_guest_in_pieces(self):
        """`ferry migrate` is only the client: killed, the migration ends one way or the other."""
        self.begin(timeout=PATIENT)
        self.break_at("landed", hold)
        self.migration.kill()
        self.between.release()
        self.source.wait_ticks(0)
        ended = self.target.wait_info(
            lambda info: info["state"] == "running", "running"
        ) if self.source.wait() == 0 else None
        self.assertTrue(ended)
        self.assert_moved()


if __name__ == "__main__":
    unittest.main()
