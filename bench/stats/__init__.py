"""Statistics over people. The person is the unit: pictures of one person are not independent of each other.

`intervals` says how sure a mean is, `max_t` tests several differences at once, `rule` declares which are tested and
what may be said then, `variance` says where the spread comes from and how many people it would take, `agreement` says
how far the orders of two populations agree. Everything random is seeded.

    python -m bench.stats FILE.csv     analyse a table of person-by-person scores
    python -m bench.power FILE.csv     how many people a difference needs
"""

from bench.stats.intervals import mean_interval

__all__ = ["mean_interval"]
