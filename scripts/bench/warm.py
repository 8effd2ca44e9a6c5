"""Touches and frees memory, as huge pages, until memory of that size comes warm: RAM that a virtual
machine has not used for a while is given to it anew page by page, many times slower than what is
being measured, and the allocator may hand out other pages the next time. Then holds the memory
until standard input ends.

Usage: warm.py MIB"""

import mmap
import sys
import time

MIB = 1 << 20
HUGE_PAGE = 2 * MIB
MOST_PASSES = 10
# First touch clears a page; of warm memory that takes no longer than copying to it does.
WARM = 1.5


def fresh(size):
    """Anonymous memory that asks for huge pages, as guest RAM does."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def seconds(memory, step):
    start = time.monotonic()
    for offset in range(0, len(memory) - HUGE_PAGE + 1, HUGE_PAGE):
        step(offset)
    return time.monotonic() - start


def touched(size):
    """Memory of that size, and whether it came warm."""
    some = bytes(HUGE_PAGE)
    memory = fresh(size)

    def touch(offset):
        memory[offset] = 1

    def copy(offset):
        memory[offset : offset + HUGE_PAGE] = some

    return memory, seconds(memory, touch) < WARM * seconds(memory, copy)


if __name__ == "__main__":
    for _ in range(MOST_PASSES):
        memory, warm = touched(int(sys.argv[1]) * MIB)
        if warm:
            break
        memory.close()
    print("warm", flush=True)
    sys.stdin.read()  # holds the memory until it is wanted: free memory goes cold again
