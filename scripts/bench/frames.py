#!/usr/bin/env python3
"""The far end of a guest's network, on an interface of this network namespace.

frames.py send INTERFACE MAC BYTES: sends frames of so many bytes to a guest that counts them
(`net-counts`, docs/guest.md), never more than it has room for.

frames.py watch INTERFACE: takes the guest's frames. For each number that it reads it waits for so
many, and says the longest time in ms between two since it last spoke."""

import mmap
import select
import socket
import struct
import sys

OURS = 0x88B5
BUFFER = 2048
CREDIT = 32  # the guest tells of so many
WINDOW = 8 * CREDIT  # less than what a TAP holds
SO_TIMESTAMPNS = 35  # when the kernel got it
SOL_PACKET, PACKET_VERSION, PACKET_TX_RING, TPACKET_V2 = 263, 10, 13, 1


def open_wire(interface):
    # Of one type only, an interface tells nobody of what it sends.
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(OURS))
    wire.bind((interface, OURS))
    return wire


class Burst:
    """CREDIT times the same frame, which the kernel sends from a ring at one call (packet(7))."""

    SLOT = 2048
    HEADER = 32  # of a slot: struct tpacket2_hdr
    SEND_REQUEST = 1

    def __init__(self, wire, frame):
        self._wire = wire
        wire.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        size = CREDIT * self.SLOT
        wire.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("IIII", size, 1, self.SLOT, CREDIT))
        self._ring = mmap.mmap(wire.fileno(), size)
        for slot in range(0, size, self.SLOT):
            self._ring[slot + self.HEADER:slot + self.HEADER + len(frame)] = frame
        self._ready = struct.pack("II", self.SEND_REQUEST, len(frame))

    def send(self):
        for slot in range(0, len(self._ring), self.SLOT):
            self._ring[slot:slot + len(self._ready)] = self._ready
        self._wire.send(b"")


def send(interface, mac, size):
    wire = open_wire(interface)
    sender = wire.getsockname()[4]
    frame = bytes.fromhex(mac.replace(":", "")) + sender + OURS.to_bytes(2, "big")
    burst = Burst(wire, frame + bytes(int(size) - len(frame)))
    wire.settimeout(0.2)
    sent = came = 0
    while True:
        while sent + CREDIT <= came + WINDOW:
            burst.send()
            sent += CREDIT
        try:
            came = int.from_bytes(wire.recv(BUFFER)[14:22], "little")
        except TimeoutError:  # the guest was not there yet
            sent = came


def watch(interface):
    wire = open_wire(interface)
    wire.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    last, longest, count, wanted = None, 0.0, 0, None
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([wire, sys.stdin], [], [])
        if wire in ready:
            _, ancillary, _, _ = wire.recvmsg(BUFFER, 64)
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            now = seconds * 1e3 + nanoseconds / 1e6
            if last is not None:
                longest = max(longest, now - last)
            last, count = now, count + 1
        elif line := sys.stdin.readline():
            wanted, count = int(line), 0
        else:
            return
        if wanted is not None and count >= wanted:
            print(f"longest_ms={longest:.3f}", flush=True)
            longest, wanted = 0.0, None


if __name__ == "__main__":
    {"send": send, "watch": watch}[sys.argv[1]](*sys.argv[2:])
