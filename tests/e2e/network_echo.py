#!/usr/bin/env python3
"""Sends back the tiny guest's frames, and answers ARP and ping as 192.0.2.1. Usage: network_echo.py INTERFACE, or network_echo.py SOCKET that
it makes, where it speaks as passt does.

Says `ready`, `echoing` at the first frame of each guest's connection, `rarp ADDRESS` of each
announcement of a port, and `arp IP ADDRESS` of each announcement of a guest."""

import contextlib
import socket
import sys

OURS = 0x88B5
ARP = 0x0806
RARP = 0x8035
IPV4 = 0x0800
IP = bytes([192, 0, 2, 1])
ADDRESS = bytes([2, 0, 0, 0, 0, 0xEC])
OUTGOING = 4  # PACKET_OUTGOING


def say(what):
    print(what, flush=True)


def kind_of(frame):
    return int.from_bytes(frame[12:14], "big")


def answer(frame, sender):
    """What goes back, if anything."""
    kind = kind_of(frame)
    if kind == RARP:
        say(f"rarp {frame[6:12].hex(':')}")
    back = {OURS: lambda: frame[14:], ARP: lambda: answer_arp(frame[14:], sender),
            IPV4: lambda: answer_ping(frame[14:])}.get(kind, lambda: None)()
    return back and frame[6:12] + sender + frame[12:14] + back


def answer_arp(packet, sender):
    whose, wanted = packet[14:18], packet[24:28]
    if whose == wanted:
        say(f"arp {'.'.join(map(str, whose))} {packet[8:14].hex(':')}")
    if packet[6:8] != b"\0\1" or wanted != IP:
        return None
    return packet[:6] + b"\0\2" + sender + IP + packet[8:18]


def answer_ping(packet):
    begin = 4 * (packet[0] & 15)
    if packet[9] != 1 or packet[begin] != 8 or packet[16:20] != IP:  # ICMP, a request
        return None
    checksum = int.from_bytes(packet[begin + 2:begin + 4], "big") + 0x0800  # of another type
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    return (packet[:12] + packet[16:20] + packet[12:16] + packet[20:begin] + b"\0" +
            packet[begin + 1:begin + 2] + checksum.to_bytes(2, "big") + packet[begin + 4:])


def echo_on_interface(name):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:  # ETH_P_ALL
        wire.bind((name, 3))
        sender = wire.getsockname()[4]
        say("ready")
        echoing = False
        while True:
            frame, (_, _, packet, *_) = wire.recvfrom(70_000)
            if packet == OUTGOING:
                continue
            if back := answer(frame, sender):
                wire.send(back)
                if not echoing:
                    say("echoing")
                echoing = True


def echo_on_connection(connection, stream):
    echoing = False
    while len(length := stream.read(4)) == 4:
        size = int.from_bytes(length, "big")
        if len(frame := stream.read(size)) < size:
            return
        if back := answer(frame, ADDRESS):
            connection.sendall(length + back)
            if not echoing:
                say("echoing")
            echoing = True


def echo_on_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        say("ready")
        while True:
            connection, _ = listener.accept()
            # A guest that leaves takes no care of what is under way.
            with connection, connection.makefile("rb") as stream:
                with contextlib.suppress(ConnectionError):
                    echo_on_connection(connection, stream)
            say("gone")


if __name__ == "__main__":
    (echo_on_socket if "/" in sys.argv[1] else echo_on_interface)(sys.argv[1])
