"""The judges judged: what must not pass does not pass."""

import unittest

import proxy
from guest_output import GuestOutput, fnv1a
from labels import labels


@labels("no-tsan", "no-standard-kvm")
class TheJudgeOfGuestOutput(unittest.TestCase):
    def test_accepts_a_run_over_two_legs_that_split_a_line(self):
        output = GuestOutput(b"# hello\nabc\n# ti", b"ck 3 time_us=5\ndefg")
        self.assertEqual(output.problems(), [])
        self.assertEqual(output.ticks, 7)

    def test_sees_a_lost_tick(self):
        self.assertEqual(len(GuestOutput(b"abc", b"efg").problems()), 1)

    def test_sees_a_repeated_tick(self):
        self.assertEqual(len(GuestOutput(b"abc", b"cde").problems()), 1)

    def test_sees_a_whole_lost_alphabet_by_the_counter(self):
        self.assertEqual(len(GuestOutput(b"abc\n# tick 29 time_us=1\n").problems()), 1)

    def test_sees_an_error_line(self):
        output = GuestOutput(b"abc\n# error page 0x1000 lost got=0x0 want=0x1000\n")
        self.assertEqual(len(output.problems()), 1)

    def test_hashes_as_the_guest_does(self):
        self.assertEqual(fnv1a(b""), 0x811C9DC5)
        self.assertEqual(fnv1a(b"a"), 0xE40C292C)


@labels("no-tsan", "no-standard-kvm")
class TheProxy(unittest.TestCase):
    def test_changes_one_bit_of_a_frame_and_nothing_else(self):
        frame = proxy.HEADER.pack(21, 0, 0, 4) + b"abcd"
        self.assertEqual(proxy.flip_bit(1)(None, None, frame), frame[:9] + b"r" + frame[10:])
        self.assertEqual(proxy.flip_bit(-1)(None, None, frame), frame[:-1] + b"t")

    def test_applies_a_rule_to_the_frame_that_it_names_and_counts(self):
        rule = proxy.Rule("landed", None, nth=2)
        landed, state = bytes([20]), bytes([21])
        matches = [rule.matches(frame, "before") for frame in (landed, state, landed, landed)]
        self.assertEqual(matches, [False, False, True, False])
        self.assertFalse(rule.matches(landed, "after"))


if __name__ == "__main__":
    unittest.main()
