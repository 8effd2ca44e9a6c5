"""Keeps free memory where it is while measurements run."""

import contextlib

# A machine that is itself a virtual machine may give free memory back to its host within a second
# ("free page reporting"), and get it back page by page when it is touched: many times slower than
# what is measured here. Blocks of this order do not exist, so that none is given back.
ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
NONE = "11"


@contextlib.contextmanager
def memory_stays():
    """Without the privilege, or such a host, nothing is changed."""
    try:
        with open(ORDER, encoding="ascii") as file:
            before = file.read().strip()
        _set(NONE)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        _set(before)


def _set(order):
    with open(ORDER, "w", encoding="ascii") as file:
        file.write(order)
