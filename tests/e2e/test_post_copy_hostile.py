"""A source that sends what it must not, while pages are missing: the destination notices, drops the
link with a message, and goes on when the source comes back and behaves."""

import struct
import unittest

from cases import cases
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


def damage_lz4(_proxy, _direction, frame):
    ranges = struct.unpack_from("<H", frame, 2)[0]
    head = HEADER.size + 8 * ranges
    return frame[:head] + b"\xff" * (len(frame) - head)


def something_else(_proxy, _direction, frame):
    return bytes([21]) + frame[1:]


FIVE_LITERALS = bytes([0x50]) + b"hello"  # an LZ4 block of these, and no more
RAW_PAGES = ("--compression", "none")
VERIFIED = ("--verify",)


@labels("no-tsan", "no-standard-kvm")
class ASource(BrokenPostCopyTest):
    def sends(self, frame, nth, action, told, options):
        """It is found out by a message that has `told`; then it behaves."""
        self.begin_through_proxy(*options)
        wrong = self.between.on(frame, action, nth=nth)
        self.go()
        self.wait_for(wrong)
        self.target.stderr.wait_for(rb"the link to it is lost \([^\n]*" + told)
        self.target.stderr.wait_for(rb"the source is back")
        report = self.assert_completes()
        self.assertIs(report["verified"], True if "--verify" in options else None)

    @cases({
        "that_sends_a_page_that_nobody_asked_for_is_dropped":
            (flip_bit(1), rb"a page that nobody asked for"),
        "that_sends_a_page_outside_of_ram_is_dropped": (page_with(number=1 << 20), rb""),
        "that_sends_half_a_page_is_dropped":
            (page_with(encoding=RAW, data=bytes(PAGE // 2)), rb""),
        "that_sends_more_than_a_page_is_dropped":
            (page_with(encoding=RAW, data=bytes(PAGE + 1)), rb""),
        "that_sends_a_damaged_lz4_block_is_dropped":
            (page_with(encoding=LZ4, data=b"\xff" * 100), rb"a damaged LZ4 block"),
        "that_sends_an_lz4_block_of_less_than_a_page_is_dropped":
            (page_with(encoding=LZ4, data=FIVE_LITERALS), rb"a damaged LZ4 block"),
        "that_sends_a_page_in_an_unknown_encoding_is_dropped": (page_with(encoding=3), rb""),
        "that_sends_a_page_twice_is_dropped": (twice, rb"a page that nobody asked for"),
        "that_sends_something_else_than_a_page_is_dropped":
            (something_else, rb"something else than a page"),
        "that_lives_and_does_not_answer_is_dropped":
            (hold, rb"does not send a page that is waited for"),
        "whose_answer_is_damaged_is_found_out_by_the_digest":
            (payload(damage), rb"differs from its digest", VERIFIED),
        "whose_answer_says_zero_where_it_is_not_is_found_out_by_the_digest":
            (payload(claim_zero), rb"differs from its digest", VERIFIED),
    })
    def answers(self, action, told, options=()):
        """What a vCPU waits for."""
        self.sends("page", 20, action, told, options)

    @cases({
        "that_pushes_a_frame_of_pages_twice_is_dropped":
            ("pages_raw", 2, twice, rb"some are here already", RAW_PAGES),
        "that_pushes_zero_pages_twice_is_dropped":
            ("pages_zero", 1, twice, rb"some are here already"),
        "that_pushes_pages_outside_of_ram_is_dropped":
            ("pages_raw", 2, flip_bit(3), rb"", RAW_PAGES),
        "that_pushes_a_damaged_lz4_block_is_dropped":
            ("pages_lz4", 2, damage_lz4, rb"a damaged LZ4 block", ("--compression", "lz4")),
        "that_pushes_pages_which_do_not_fill_their_frame_is_dropped":
            ("pages_raw", 2, payload(lambda sent: sent[:-PAGE]), rb"do not fill it", RAW_PAGES),
        "whose_pushed_page_is_damaged_is_found_out_by_the_digest":
            ("pages_raw", 2, flip_bit(-100), rb"differs from its digest", VERIFIED + RAW_PAGES),
    })
    def pushes(self, frame, nth, action, told, options=()):
        self.sends(frame, nth, action, told, options)


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
