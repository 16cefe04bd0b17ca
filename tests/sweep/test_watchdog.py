"""A block that takes too long ends its process, and says where it was."""

from __future__ import annotations

import subprocess
import sys
import time

from rewa.sweep.watchdog import EXIT_STATUS, Watchdog

HANGS = """
import time
from rewa.sweep.watchdog import Watchdog

def stuck():
    time.sleep(60)

with Watchdog(0.3, lambda where: print(where, flush=True)):
    stuck()
"""


def test_it_ends_a_hanging_process() -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (EXIT_STATUS, "<string>:6 in stuck\n")
    assert time.monotonic() - started < 40


def test_it_ends_a_process_whose_last_words_fail() -> None:
    program = HANGS.replace("print(where, flush=True)", "1 / 0")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == EXIT_STATUS


def test_it_ends_a_process_that_never_lets_go_of_the_interpreter() -> None:
    program = HANGS.replace("import time\n", "import re, rewa.sweep.watchdog as w\nw.GRACE = 0.3\n", 1)
    program = program.replace("time.sleep(60)", "re.match('(a*)*b', 'a' * 40)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode != 0
    assert "stuck" in done.stderr


def test_it_leaves_a_quick_block_alone() -> None:
    said: list[str] = []
    with Watchdog(0.05, said.append):
        pass
    with Watchdog(float("inf"), said.append):
        pass
    time.sleep(0.1)
    assert said == []
