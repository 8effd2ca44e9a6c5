"""The outer system's first files: busybox, kernel modules in their order, and the command to run."""

import os
import re
import shlex
import struct

# What the kernel needs for the host's files, for a root that can be written, for KVM, and for networks
# of its own. Modules that these need are found.
MODULES = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "kvm_amd", "bridge", "tun"]


def module_files(folder):
    """Module name -> path. A file's name may have dashes where the module's has underscores."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".ko"):
                found[name.removesuffix(".ko").replace("-", "_")] = f"{path}/{name}"
    return found


def in_order(files, wanted, ordered):
    """Appends (name, content) of the wanted modules to `ordered`, each after those it needs."""
    for name in wanted:
        if name in dict(ordered):
            continue
        with open(files[name], "rb") as file:
            content = file.read()
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        in_order(files, filter(None, needs.group(1).decode().replace("-", "_").split(",")), ordered)
        ordered.append((name, content))
    return ordered


def cpio(files):
    """An archive in the kernel's `newc` form of (path, mode, content); folders have no content."""
    parts = []
    for number, (path, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        for part in (header, content):
            parts += [part, bytes(-len(part) % 4)]
    return b"".join(parts)


def folder(path):
    return (path, 0o040755, b"")


def program(path, content):
    return (path, 0o100755, content)


def base(modules_folder, busybox):
    """What is the same in every run."""
    modules = in_order(module_files(modules_folder), MODULES, [])
    with open(busybox, "rb") as file:
        files = [folder(name) for name in ("bin", "dev", "proc", "sys", "modules")]
        files.append(program("bin/busybox", file.read()))
    order = "".join(f"{name}.ko\n" for name, _ in modules)
    files.append(("modules/order", 0o100644, order.encode()))
    files += [(f"modules/{name}.ko", 0o100644, content) for name, content in modules]
    return cpio(files)


def for_command(command, environment, working_folder, output_folder):
    """What is one run's own: `init`, and the command with its folder and environment."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()
             if re.fullmatch(r"[A-Za-z_]\w*", name)]
    lines += [f"cd {shlex.quote(working_folder)} || exit 125", f"exec {shlex.join(command)}"]
    with open(os.path.join(os.path.dirname(__file__), "init"), "rb") as file:
        files = [program("init", file.read())]
    files.append(("command", 0o100644, "\n".join([*lines, ""]).encode()))
    if output_folder:
        files.append(("output-folder", 0o100644, output_folder.encode()))
    return cpio(files)
