"""The cases of how long a guest stops by its RAM and vCPUs, and the bars that Ferry has to reach."""

from .bars import Bar
from .cases import Case
from .ferry import FerryArm
from .local import make_slots

FILLED_MIB = 64
SIZES_GIB = (1, 20)
TERABYTE_MIB = 1 << 20
VCPUS = (1, 16)
MODES = ("pre-copy", "post-copy")


def _arm(programs, mode, ram_mib, run_options=(), receive_options=()):
    return FerryArm(
        programs.ferry, programs.directory, programs.kernel, FILLED_MIB,
        f"tick=2 fill={FILLED_MIB}", ("--mode", mode), run_options, receive_options,
        ram_mib=ram_mib)


def ram(programs, run):
    arms = {f"{mode}, {gib} GiB": _arm(programs, mode, gib * 1024)
            for mode in MODES for gib in SIZES_GIB}
    arms |= {f"slots of {gib} GiB": lambda gib=gib: {"total": make_slots(gib)} for gib in SIZES_GIB}
    run.migrations(arms)


def ram_bars(samples):
    small, large = SIZES_GIB
    slots = (samples[f"slots of {large} GiB"].median("total")
             - samples[f"slots of {small} GiB"].median("total"))
    bars = []
    for mode in MODES:
        def more(key, mode=mode):
            return (samples[f"{mode}, {large} GiB"].median(key)
                    - samples[f"{mode}, {small} GiB"].median(key))

        bars += [
            Bar(f"downtime in {mode}, {large} GiB beyond {small} GiB", more("downtime"), 0.5, "ms"),
            Bar(f"total in {mode}, the same beyond the slots", more("total") - slots, large - small,
                "ms"),
        ]
    return bars


def vcpus(programs, run):
    run.migrations({f"{mode}, {count} vCPUs": _arm(programs, mode, 1024, ("--cpus", str(count)))
                    for mode in MODES for count in VCPUS})


def vcpus_bars(samples):
    few, many = VCPUS
    return [Bar(f"downtime in {mode}, {many} vCPUs against 2.5 x {few}",
                samples[f"{mode}, {many} vCPUs"].median("downtime"),
                2.5 * samples[f"{mode}, {few} vCPUs"].median("downtime"), "ms") for mode in MODES]


def terabyte(programs, run):
    run.migrations({mode: _arm(programs, mode, TERABYTE_MIB, ("--overcommit",), ("--overcommit",))
                    for mode in MODES})


def terabyte_bars(samples):
    bars = []
    for mode in MODES:
        arm = samples[mode]
        bars.append(Bar(f"downtime in {mode}", arm.median("downtime"), 10, "ms"))
        bars += [Bar(f"memory beyond what is used, {side}, {mode}",
                     arm.median(f"beyond_{side}"), 100, "MiB") for side in ("source", "target")]
    return bars


CASES = {
    "ram": Case(f"RAM of {SIZES_GIB[0]} and {SIZES_GIB[1]} GiB, {FILLED_MIB} MiB filled", ram,
                ram_bars),
    "vcpus": Case(f"{VCPUS[0]} and {VCPUS[1]} vCPUs, 1 GiB, {FILLED_MIB} MiB filled", vcpus,
                  vcpus_bars),
    "terabyte": Case(f"1 TiB, {FILLED_MIB} MiB filled, --overcommit", terabyte, terabyte_bars),
}
