"""QEMU: which one, how it is started, and what it emulates."""

import glob
import os
import shutil

# A processor with everything that QEMU can emulate, AMD-V and nested paging included.
PROCESSOR = "max"
# QEMU 7.2 has faults in the XSAVE of nested guests, newer ones have not.
OLD_PROCESSOR = "max,-xsave"
KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr random.trust_cpu=on"
)


def fetched(root):
    """The start of a command line for the QEMU that was unpacked into that folder.

    It is built for a newer system, and so runs with that system's own libraries and loader.
    """
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    return [f"{libraries}/ld-linux-x86-64.so.2", "--library-path", libraries,
            f"{root}/usr/bin/qemu-system-x86_64",
            "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios", "-cpu", PROCESSOR]


def installed():
    program = shutil.which("qemu-system-x86_64")
    return program and [program, "-cpu", OLD_PROCESSOR]


def environment(root):
    return {**os.environ, "QEMU_MODULE_DIR": f"{root}/usr/lib/x86_64-linux-gnu/qemu"}


def arguments(kernel, initrd, cpus, memory_mib, ports, console, output_folder):
    """`ports` are the descriptors that the guest's virtio ports 1, 2, ... write to."""
    line = [
        "-accel", "tcg,thread=multi,tb-size=512", "-M", "pc,hpet=on", "-smp", str(cpus),
        "-m", str(memory_mib), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", kernel, "-initrd", initrd, "-append", KERNEL_OPTIONS,
        "-add-fd", f"fd={console},set=9", "-chardev", "file,id=console,path=/dev/fdset/9,append=on",
        "-serial", "chardev:console", "-device", "virtio-serial-pci",
    ]
    for number, descriptor in enumerate(ports, 1):
        line += [
            "-add-fd", f"fd={descriptor},set={number}",
            "-chardev", f"file,id=port{number},path=/dev/fdset/{number},append=on",
            "-device", f"virtserialport,nr={number},chardev=port{number}",
        ]
    shares = [("host", "/", ",readonly=on")]
    if output_folder:
        shares.append(("output", output_folder, ""))
    for tag, path, option in shares:
        # A comma ends an option, and two are one that does not.
        path = path.replace(",", ",,")
        line += [
            "-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{option}",
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}",
        ]
    return line
