"""Kernel images made by hand, right and wrong ones."""

import struct

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
PT_LOAD, PT_NOTE = 1, 4
ENTRY = 0x100000

# 32-bit protected mode, as PVH enters it.
HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
CRASH = b"\x0f\x0b"  # ud2, and nobody serves it
# mov eax, [ebx + 16]; mov eax, [eax + 8]; out 0xf4, al; hlt: ends with the first module's size.
MODULE_SIZE = b"\x8b\x43\x10\x8b\x40\x08\xe6\xf4\xf4"


def pvh_note(entry):
    return struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", entry)


def elf(segments, note=pvh_note(ENTRY)):
    """An ELF file of (address, bytes, memory size) segments, and a note."""
    count = len(segments) + 1
    offset = EHDR.size + PHDR.size * count
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = EHDR.pack(ident, 2, 62, 1, ENTRY, EHDR.size, 0, 0, EHDR.size, PHDR.size, count, 0, 0, 0)
    headers, body = b"", b""
    for kind, address, data, size in [
        (PT_NOTE, 0, note, len(note)),
        *((PT_LOAD, address, data, size) for address, data, size in segments),
    ]:
        headers += PHDR.pack(kind, 7, offset + len(body), address, address, len(data), size, 4)
        body += data
    return header + headers + body


def bzimage(version=0x020F, flags=1, size=4096):
    """A Linux kernel of nothing but its header: `size` bytes of code, that need 16 to 25 MiB."""
    header = struct.Struct("<BHIHHHHHIH8xBB26xIIBBHI28xQI").pack(
        1, 0, size // 16, 0, 0, 0, 0xAA55, 0x66EB, 0x53726448, version, 0, 1,
        0x7FFFFFFF, 0x200000, 1, 21, flags, 2047, 16 << 20, 9 << 20,
    )
    return (bytes(0x1F1) + header).ljust(1024, b"\0") + bytes(size)


def kernel(code=HALT, *more):
    """A bootable image that runs `code`, with further segments of (address, bytes)."""
    return elf([(ENTRY, code, 4096), *((address, data, len(data)) for address, data in more)])
