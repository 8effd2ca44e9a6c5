"""The man in the middle of proxy.py on a Unix socket, where descriptors go beside the bytes."""

import asyncio
import contextlib
import os
import socket

from proxy import FRAMES, Proxy

PLENTY = 1 << 24  # of bytes that may wait: asyncio itself is not to read
MOST_DESCRIPTORS = 4


class Reading(asyncio.StreamReaderProtocol):
    """Reads by itself, and gives what descriptors come to `take`."""

    def __init__(self, serve, take, loop):
        self._bytes = asyncio.StreamReader(limit=PLENTY, loop=loop)
        self._take = take
        self._event_loop = loop
        super().__init__(self._bytes, serve, loop)

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()
        self._socket = duplicate(transport)
        self._event_loop.add_reader(self._socket, self._read)

    def connection_lost(self, exc):
        self._end()
        super().connection_lost(exc)

    def _read(self):
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, MOST_DESCRIPTORS)
        except OSError:
            data, descriptors = b"", []
        if descriptors:
            self._take(descriptors)
        if data:
            self._bytes.feed_data(data)
        else:
            self._end()
            self._bytes.feed_eof()

    def _end(self):
        if self._socket:
            self._event_loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


class LocalProxy(Proxy):
    """Passes descriptors on, unless it is told not to: then it is like any proxy."""

    def __init__(self, target, path, descriptors=True):
        self._path = path
        self._passes = descriptors
        self._descriptors = []
        super().__init__(target)
        self.address = f"unix:{path}"

    def close(self):
        super().close()
        self._drop()

    async def _listen(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._server = await self._loop.create_unix_server(
            lambda: Reading(self._serve, self._descriptors.extend, self._loop), self._path
        )

    def _apply(self, when, direction, frame):
        frame = super()._apply(when, direction, frame)
        if when == "before" and frame[0] == FRAMES["offer"] and self._descriptors:
            frame = self._begin_with_descriptors(direction, frame)
        return frame

    def _begin_with_descriptors(self, direction, frame):
        if self._passes:
            with duplicate(direction.writer) as sock:
                socket.send_fds(sock, [frame[:1]], self._descriptors)
            frame = frame[1:]
        self._drop()
        return frame

    def _drop(self):
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()


def duplicate(transport):
    return socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
