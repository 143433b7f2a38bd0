"""How far a test goes: in `make check` no further than it takes to fail, with LONG=1 to a bound of its own."""
import os
import time

LONG = bool(os.environ.get("LONG"))


def rounds(short, long, seconds):
    """Numbers from 0: `short` of them; with LONG=1 up to `long`, of which those after `short` begin within so many seconds."""
    begun = time.monotonic()
    number = -1
    for number in range(long if LONG else short):
        if number >= short and time.monotonic() - begun > seconds:
            break
        yield number
    print(f"{number} rounds in {time.monotonic() - begun:.0f} s")
