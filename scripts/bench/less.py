"""The cases of sending less: deltas, duplicates and Zstandard."""

from .bars import Bar
from .cases import FILLED_1G, GBIT, Case, arms_of

HALF_GBIT = GBIT // 2


def deltas(programs, run):
    run.migrations(arms_of(
        programs, 1024, f"tick=10 {FILLED_1G} dirty=20000 dirty-block",
        {name: f"--mode pre-copy --max-bandwidth 500Mbit --compression lz4 --delta-cache {size}"
         for name, size in (("ferry", "1G"), ("ferry, no deltas", "0"))},
        {"qemu xbzrle": {"bytes_per_second": HALF_GBIT, "xbzrle": 1 << 30}},
    ))


def duplicates(programs, run):
    cmdline = "tick=10 fill=700 zero=0 random=100 text=0"
    arms = {}
    for kind, more in (("", ""), (", a tenth are copies", " copies=10")):
        for link, cap in (("1 Gbit/s", "--max-bandwidth 1Gbit"), ("uncapped", "")):
            arms |= arms_of(
                programs, 1024, cmdline + more,
                {f"{link}{kind}{name}": f"--mode pre-copy {cap} {how}"
                 for name, how in (("", ""), (", as they are", "--compression none"))}, {})
    run.migrations(arms)


def zstandard(programs, run):
    run.migrations(arms_of(
        programs, 256, "tick=10 fill=200 zero=0 random=0 text=100",
        {name: f"--mode pre-copy --max-bandwidth 200Mbit --compression {name}"
         for name in ("auto", "lz4", "zstd")}, {},
    ))


def deltas_bars(samples):
    ferry, without = samples["ferry"], samples["ferry, no deltas"]
    return [
        Bar("bytes of a delta", ferry.median("delta_bytes") or 4096, 200, "bytes"),
        Bar("total against the same without deltas", ferry.median("total"),
            without.median("total"), "ms"),
        Bar("wire bytes against QEMU's xbzrle", ferry.median("wire"),
            samples["qemu xbzrle"].median("wire"), "MiB"),
    ]


def duplicates_bars(samples):
    def against(arm, name, share, unit):
        return Bar(f"{name} ({arm}) against {share} x as they are", samples[arm].median(name),
                   share * samples[f"{arm}, as they are"].median(name), unit)

    return [
        against("1 Gbit/s, a tenth are copies", "wire", 0.91, "MiB"),
        against("1 Gbit/s, a tenth are copies", "cpu", 1.5, "s"),
        against("1 Gbit/s", "total", 1.03, "ms"),
        against("uncapped", "total", 1.03, "ms"),
        against("uncapped, a tenth are copies", "total", 1.03, "ms"),
    ]


def zstandard_bars(samples):
    auto = samples["auto"]
    return [
        Bar("total against 0.85 x LZ4", auto.median("total"), 0.85 * samples["lz4"].median("total"),
            "ms"),
        Bar("of the compressed pages, by Zstandard", auto.median("zstd_share") or 0, 50, "%",
            at_least=True),
    ]


CASES = {
    "deltas": Case("1 GiB at 500 Mbit/s, 64 bytes written in each of 20 000 pages/s",
                   deltas, deltas_bars),
    "duplicates": Case("1 GiB of random pages, a tenth of them copies of others or none",
                       duplicates, duplicates_bars),
    "zstandard": Case("256 MiB at 200 Mbit/s, 200 MiB of text-like pages",
                      zstandard, zstandard_bars),
}
