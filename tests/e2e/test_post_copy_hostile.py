"""A source that sends what it must not, while pages are missing: the destination notices, drops the
link with a message, and goes on when the source comes back and behaves."""

import struct
import unittest

from handover import HandoverTest
from labels import labels
from post_copy import BrokenPostCopyTest
from proxy import HEADER, flip_bit, hold, payload, twice

PAGE, RAW, LZ4 = 4096, 1, 2


def page_with(number=None, encoding=None, data=None):
    """Changes an answer: u32 page, u32 encoding, u64 digest, data."""

    def change(sent):
        old_number, old_encoding, digest = struct.unpack_from("<IIQ", sent)
        head = struct.pack(
            "<IIQ",
            old_number if number is None else number,
            old_encoding if encoding is None else encoding,
            digest,
        )
        return head + (sent[16:] if data is None else data)

    return payload(change)


def damage(sent):
    """A zero page has no bytes: it gets the digest of another."""
    at = 8 if len(sent) == 16 else -1
    changed = bytearray(sent)
    changed[at] ^= 0x10
    return bytes(changed)


def claim_zero(sent):
    """A page that is zero already gets the digest of another."""
    number, encoding, digest = struct.unpack_from("<IIQ", sent)
    return struct.pack("<IIQ", number, 0, digest if encoding != 0 else digest ^ 1)


@labels("no-tsan", "no-standard-kvm")
class ASource(BrokenPostCopyTest):
    def sends(self, frame, action, told, *options, nth=20):
        """It is found out by a message that has `told`; then it behaves."""
        self.begin_through_proxy(*options)
        wrong = self.between.on(frame, action, nth=nth)
        self.go()
        self.wait_for(wrong)
        self.target.stderr.wait_for(rb"the link to it is lost \([^\n]*" + told)
        self.target.stderr.wait_for(rb"the source is back")
        return self.assert_completes()

    # Answers to what a vCPU waits for.

    def test_that_sends_a_page_that_nobody_asked_for_is_dropped(self):
        self.sends("page", flip_bit(1), rb"a page that nobody asked for")

    def test_that_sends_a_page_outside_of_ram_is_dropped(self):
        self.sends("page", page_with(number=1 << 20), rb"")

    def test_that_sends_half_a_page_is_dropped(self):
        self.sends("page", page_with(encoding=RAW, data=bytes(PAGE // 2)), rb"")

    def test_that_sends_more_than_a_page_is_dropped(self):
        self.sends("page", page_with(encoding=RAW, data=bytes(PAGE + 1)), rb"")

    def test_that_sends_a_damaged_lz4_block_is_dropped(self):
        self.sends("page", page_with(encoding=LZ4, data=b"\xff" * 100), rb"a damaged LZ4 block")

    def test_that_sends_an_lz4_block_of_less_than_a_page_is_dropped(self):
        literal = bytes([0x50]) + b"hello"  # five literals, and no more
        self.sends("page", page_with(encoding=LZ4, data=literal), rb"a damaged LZ4 block")

    def test_that_sends_a_page_in_an_unknown_encoding_is_dropped(self):
        self.sends("page", page_with(encoding=3), rb"")

    def test_that_sends_a_page_twice_is_dropped(self):
        self.sends("page", twice, rb"a page that nobody asked for")

    def test_that_sends_something_else_than_a_page_is_dropped(self):
        self.sends(
            "page", lambda _proxy, _direction, frame: bytes([21]) + frame[1:],
            rb"something else than a page",
        )

    def test_that_lives_and_does_not_answer_is_dropped(self):
        self.sends("page", hold, rb"does not send a page that is waited for")

    # What is pushed.

    def test_that_pushes_a_frame_of_pages_twice_is_dropped(self):
        self.sends(
            "pages_raw", twice, rb"some are here already", "--compression", "none", nth=2
        )

    def test_that_pushes_zero_pages_twice_is_dropped(self):
        self.sends("pages_zero", twice, rb"some are here already", nth=1)

    def test_that_pushes_pages_outside_of_ram_is_dropped(self):
        self.sends("pages_raw", flip_bit(3), rb"", "--compression", "none", nth=2)

    def test_that_pushes_a_damaged_lz4_block_is_dropped(self):
        def damage(_proxy, _direction, frame):
            ranges = struct.unpack_from("<H", frame, 2)[0]
            head = HEADER.size + 8 * ranges
            return frame[:head] + b"\xff" * (len(frame) - head)

        self.sends("pages_lz4", damage, rb"a damaged LZ4 block", "--compression", "lz4", nth=2)

    def test_that_pushes_pages_which_do_not_fill_their_frame_is_dropped(self):
        self.sends(
            "pages_raw", payload(lambda sent: sent[:-PAGE]), rb"do not fill it",
            "--compression", "none", nth=2,
        )

    # Verified.

    def test_whose_answer_is_damaged_is_found_out_by_the_digest(self):
        report = self.sends("page", payload(damage), rb"differs from its digest", "--verify")
        self.assertIs(report["verified"], True)

    def test_whose_answer_says_zero_where_it_is_not_is_found_out_by_the_digest(self):
        self.sends("page", payload(claim_zero), rb"differs from its digest", "--verify")

    def test_whose_pushed_page_is_damaged_is_found_out_by_the_digest(self):
        report = self.sends(
            "pages_raw", flip_bit(-100), rb"differs from its digest",
            "--verify", "--compression", "none", nth=2,
        )
        self.assertIs(report["verified"], True)


@labels("no-standard-kvm")
class WhileTheStateIsLoaded(HandoverTest):
    """Without pre-paging, as the pages that KVM wants would come unasked otherwise."""

    def test_a_damaged_page_ends_the_attempt_and_the_guest_stays(self):
        """KVM touches guest pages when it loads the state, and the destination waits for these."""
        self.begin("--mode", "post-copy", "--prepaging", "none")
        self.break_at("page", page_with(encoding=LZ4, data=b"\xff" * 100))
        self.assert_stays()
        self.target.stderr.wait_for(rb"a damaged LZ4 block")
        self.assertIn(self.target.wait(), (69, 76), self.target.stderr.text())
        self.assertEqual(self.target.stdout.bytes(), b"")
        self.assert_moves_elsewhere()

    def test_a_page_that_does_not_come_ends_the_attempt_and_the_guest_stays(self):
        self.begin("--mode", "post-copy", "--prepaging", "none")
        self.break_at("page", hold)
        self.assert_stays()
        self.assertIn(self.target.wait(), (69, 76), self.target.stderr.text())
        self.assert_moves_elsewhere()


if __name__ == "__main__":
    unittest.main()
