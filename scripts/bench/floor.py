"""The physical floor: a plain copy of that many bytes from one process to another over TCP, from
warm memory into fresh memory of the kind that guest RAM is. Prints milliseconds.

Usage: floor.py BYTES CONNECTIONS"""

import os
import socket
import sys
import threading
import time

from warm import fresh

CHUNK = 1 << 20


def shares(memory, connections):
    size = len(memory) // connections
    view = memoryview(memory)
    return [view[i * size : (i + 1) * size] for i in range(connections)]


def all_at_once(work, sockets, parts):
    threads = [threading.Thread(target=work, args=pair) for pair in zip(sockets, parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send(connection, part):
    for offset in range(0, len(part), CHUNK):
        connection.sendall(part[offset : offset + CHUNK])
    connection.recv(1)  # the other side has it all


def receive(connection, part):
    while part:
        part = part[connection.recv_into(part[:CHUNK]) :]
    connection.sendall(b".")


def receiver(address, size, connections):
    sockets = [socket.create_connection(address) for _ in range(connections)]
    all_at_once(receive, sockets, shares(fresh(size), connections))


def sender(listener, size, connections):
    memory = fresh(size)
    pattern = os.urandom(CHUNK)
    for offset in range(0, size, CHUNK):
        memory[offset : offset + CHUNK] = pattern[: min(CHUNK, size - offset)]
    parts = shares(memory, connections)
    sockets = [listener.accept()[0] for _ in range(connections)]
    start = time.monotonic()
    all_at_once(send, sockets, parts)
    return (time.monotonic() - start) * 1e3


def main():
    size, connections = int(sys.argv[1]), int(sys.argv[2])
    with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
        child = os.fork()
        if child == 0:
            receiver(listener.getsockname(), size, connections)
            os._exit(0)
        print(sender(listener, size, connections))
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
