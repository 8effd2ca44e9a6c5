"""What `lz4 -1` makes of the non-zero pages of a memory image in blocks of 64 KiB. Prints the
number of non-zero pages and the compressed bytes.

Usage: lz4_reference.py FILE"""

import ctypes
import mmap
import sys

PAGE = 4096
BLOCK_PAGES = 16


def load_lz4():
    lz4 = ctypes.CDLL("liblz4.so.1")
    lz4.LZ4_compress_default.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    return lz4


def main():
    lz4 = load_lz4()
    capacity = lz4.LZ4_compressBound(BLOCK_PAGES * PAGE)
    out = ctypes.create_string_buffer(capacity)
    pages, compressed, block = 0, 0, []

    def flush():
        nonlocal compressed, pages
        data = b"".join(block)
        # A block that does not shrink is stored as it is; that is what the program lz4 does, too.
        shrunk = lz4.LZ4_compress_default(data, out, len(data), capacity)
        compressed += min(shrunk, len(data))
        pages += len(block)
        block.clear()

    zero = bytes(PAGE)
    with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as image:
        for offset in range(0, len(image), PAGE):
            page = image[offset : offset + PAGE]
            if page != zero:
                block.append(page)
                if len(block) == BLOCK_PAGES:
                    flush()
    if block:
        flush()
    print(pages, compressed)


if __name__ == "__main__":
    main()
