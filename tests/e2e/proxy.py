"""A man in the middle that understands the migration protocol (docs/protocol.md) and breaks it.

It stands between `ferry migrate` and `ferry receive`. A rule names a frame type; when that frame
comes by, the rule's action runs right before or right after the frame is passed on: cut the link,
let it fall silent, hold the frame back, or change it.
"""

import asyncio
import contextlib
import socket
import struct
import threading

FRAMES = {
    "channel": 1, "pages_raw": 2, "pages_lz4": 3, "pages_zero": 4, "round_end": 5,
    "pages_delta": 6, "pages_same": 7, "pages_alike": 8, "pages_zstd": 9,
    "alive": 16, "offer": 17, "accept": 18, "refused": 19, "landed": 20, "state": 21,
    "last_round": 22, "digests": 23, "prepared": 24, "commit": 25, "running": 26, "abort": 27,
    "missing": 28, "post_copy": 29, "ended": 30, "inquire": 32, "status": 33, "request": 40,
    "held": 34, "hashes": 35, "copies": 36, "changed": 37, "dropped": 38, "report": 31, "page": 41,
    "released": 39, "acknowledged": 43,
}
ROLES = {1: "control", 2: "pages", 3: "inquiry", 4: "faults"}
NAMES = {number: name for name, number in FRAMES.items()}
ALIVE = FRAMES["alive"]
HEADER = struct.Struct("<BBHI")
PREAMBLE_BYTES = 16


class Rule:
    def __init__(self, frame, action, when="before", nth=1):
        self.type = FRAMES[frame]
        self.action = action
        self.when = when
        self.left = nth
        self.done = threading.Event()

    def matches(self, frame, when):
        return when == self.when and frame[0] == self.type and self._counts_down()

    def _counts_down(self):
        self.left -= 1
        return self.left == 0

    def wait(self, deadline):
        if not self.done.wait(deadline):
            raise AssertionError(f"frame {NAMES[self.type]} never came by")


class Direction:
    """One way of one connection. What may not pass now waits in `kept`, in order."""

    def __init__(self, writer, forth):
        self.writer = writer
        self.forth = forth  # from the source to the destination
        self.role = None  # of its connection, once that has said so
        self.other = None  # the same connection's other way
        self.holding = False
        self.ended = False
        self.kept = []

    def pass_on(self, frame, silent):
        if silent or (self.holding and frame[0] != ALIVE):
            self.kept.append(frame)
        else:
            self._write(frame)

    def _write(self, frame):
        if not self.writer.transport.is_closing():  # as it is when that side has gone
            self.writer.write(frame)

    def flush(self):
        self.holding = False
        for frame in self.kept:
            self._write(frame)
        self.kept.clear()
        if self.ended:
            self.writer.close()

    def end(self, silent):
        self.ended = True
        if not silent and not self.kept:
            self.writer.close()


class Proxy:
    """Listens on TCP before a receiver's address. Methods may be called from any thread."""

    def __init__(self, target):
        self.target = target
        self.seen = []  # names of all frames that came by, in order, without alive
        self.bytes_forth = 0  # from the source
        self.bytes_back = 0
        self._rules = []
        self._directions = []
        self._writers = []
        self._silent = False
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = None
        self.port = 0
        self._call(self._listen())
        self.address = f"tcp:127.0.0.1:{self.port}"

    # What a test says.

    def on(self, frame, action, when="before", nth=1):
        """`action(proxy, direction, frame)` at the nth such frame; may return another frame."""
        rule = Rule(frame, action, when, nth)
        self._rules.append(rule)
        return rule

    def cut(self):
        """Resets every connection, and refuses new ones until restore()."""
        self._call(self._cut())

    def fall_silent(self):
        """Nothing passes any more and nobody is told; new connections get no answer."""
        self._call(self._fall_silent())

    def restore(self, target=None):
        """The link works again. What was on its way arrives late, as it does on a real link."""
        self._call(self._restore(target))

    def welcome(self):
        """New connections are possible again; what is held stays where it is."""
        self._call(self._listen())

    def release(self):
        """Lets frames that `hold` keeps go on."""
        self._call(self._release())

    def close(self):
        self._call(self._cut())
        self._call(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # In the loop's thread.

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self):
        self.cut_now()

    async def _fall_silent(self):
        self.silence_now()

    def cut_now(self):
        self._server.close()
        for writer in self._writers:
            reset(writer)
        self._writers.clear()
        self._directions.clear()

    def drop_now(self, role=None, by_reset=True, most=None):
        """Ends the connections of that role, or all, or `most` of them. New ones are welcome."""
        dropped = [each for each in self._directions if each.forth and role in (None, each.role)]
        for forth in dropped[:most]:
            for direction in (forth, forth.other):
                self._directions.remove(direction)
                self._writers.remove(direction.writer)
                if by_reset:
                    reset(direction.writer)
                else:
                    direction.writer.close()

    def silence_now(self):
        self._silent = True
        self._flowing.clear()

    async def _restore(self, target):
        self.target = target or self.target
        self._silent = False
        self._flowing.set()
        await self._release()
        if not self._server.is_serving():
            await self._listen()

    async def _release(self):
        for direction in self._directions:
            direction.flush()

    async def _cancel_all(self):
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dial(self):
        kind, _, rest = self.target.partition(":")
        if kind == "unix":
            return await asyncio.open_unix_connection(rest)
        host, _, port = rest.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _serve(self, from_source, to_source):
        self._writers.append(to_source)
        try:
            await self._flowing.wait()
        except asyncio.CancelledError:
            return  # the proxy closes; the streams' own callback would report it as an error
        try:
            from_target, to_target = await self._dial()
        except OSError:
            to_source.transport.abort()
            return
        self._writers.append(to_target)
        forth, back = Direction(to_target, True), Direction(to_source, False)
        forth.other, back.other = back, forth
        self._directions += [forth, back]
        await asyncio.gather(
            self._forward(from_source, forth), self._forward(from_target, back)
        )

    async def _forward(self, reader, direction):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            # (The listening side of a page connection says nothing at all.)
            preamble = await reader.readexactly(PREAMBLE_BYTES)
            if direction.forth:
                direction.role = direction.other.role = ROLES.get(preamble[12])
            self._count(direction, preamble)
            direction.pass_on(preamble, self._silent)
            while True:
                head = await reader.readexactly(HEADER.size)
                frame = head + await reader.readexactly(HEADER.unpack(head)[3])
                self._count(direction, frame)
                if frame[0] != ALIVE:
                    self.seen.append(NAMES.get(frame[0], str(frame[0])))
                frame = self._apply("before", direction, frame)
                direction.pass_on(frame, self._silent)
                await direction.writer.drain()
                self._apply("after", direction, frame)
        direction.end(self._silent)

    def _count(self, direction, data):
        if direction.forth:
            self.bytes_forth += len(data)
        else:
            self.bytes_back += len(data)

    def _apply(self, when, direction, frame):
        for rule in list(self._rules):
            if rule.matches(frame, when):
                self._rules.remove(rule)
                frame = rule.action(self, direction, frame) or frame
                rule.done.set()
        return frame


def reset(writer):
    sock = writer.get_extra_info("socket")
    if sock.family != socket.AF_UNIX and not writer.transport.is_closing():
        linger = struct.pack("ii", 1, 0)  # close with RST
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


# Actions.


def cut(proxy, _direction, _frame):
    proxy.cut_now()


def drop(role=None, by_reset=True, most=None):
    """Ends the connections of that role, or all, or `most` of them; new ones are welcome."""

    def action(proxy, _direction, _frame):
        proxy.drop_now(role, by_reset, most)

    return action


def fall_silent(proxy, _direction, _frame):
    proxy.silence_now()


def hold(_proxy, direction, _frame):
    """Keeps this frame and what follows it back, but lets signs of life through."""
    direction.holding = True


def lose_the_source(proxy, direction, _frame):
    """Holds this frame, and leaves the destination's end as it is: only the source sees the link
    break, and nobody gets through until welcome()."""
    direction.holding = True
    reset(direction.other.writer)
    proxy._server.close()


def lose_the_source_behind(proxy, direction, _frame):
    """The same without holding the frame: it waits where the destination will read it."""
    reset(direction.other.writer)
    proxy._server.close()


def flip_bit(at):
    """Changes a bit of the payload, `at` bytes in (negative: from its end)."""

    def action(_proxy, _direction, frame):
        changed = bytearray(frame)
        changed[HEADER.size + at if at >= 0 else at] ^= 0x10
        return bytes(changed)

    return action


def payload(change):
    """Sends `change(payload)` instead, as a whole frame."""

    def action(_proxy, _direction, frame):
        changed = change(frame[HEADER.size :])
        return frame[:4] + struct.pack("<I", len(changed)) + changed

    return action


def times(count):
    return lambda _proxy, _direction, frame: frame * count


twice = times(2)
