import subprocess
import sys
from pathlib import Path

import pytest

from fault.guardian_kit import linux_only
from pilotlight_guest import give_back

pytestmark = linux_only

MAPS = """\
7f0000000000-7f0000002000 r-xp 00000000 fe:00 12 /usr/lib/untouched.so
Size: 8 kB
Anonymous: 0 kB
VmFlags: rd ex mr
7f0000002000-7f0000003000 r--p 00002000 fe:00 12 /usr/lib/relocated.so
Anonymous: 4 kB
7f0000003000-7f0000004000 rw-p 00003000 fe:00 12 /usr/lib/data.so
Anonymous: 0 kB
7f0000004000-7f0000006000 r--p 00000000 00:00 0
Anonymous: 0 kB
7f0000006000-7f0000007000 r--p 00000000 00:00 0 [vvar]
Anonymous: 0 kB
"""


def test_only_what_can_be_read_from_a_file_again_is_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    maps = tmp_path / "smaps"
    maps.write_text(MAPS)
    monkeypatch.setattr(give_back, "MAPS", str(maps))
    assert give_back._untouched() == [(0x7F0000000000, 0x2000)]  # pyright: ignore[reportPrivateUsage]


def test_a_process_goes_on_as_before():
    script = """
import hashlib, json, re
from pilotlight_guest.give_back import give_back
def resident():
    return int(re.search(r"Rss: +([0-9]+)", open("/proc/self/smaps_rollup").read()).group(1))
kept = bytearray(b"x") * 1000000
before, digest = resident(), hashlib.sha256(kept).hexdigest()
give_back()
assert resident() < before
assert hashlib.sha256(kept).hexdigest() == digest and json.loads("[1]") == [1]
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_zeroes_that_nobody_has_written_over_are_let_go_and_nothing_else():
    script = """
import mmap, re
from pilotlight_guest.give_back import drop_zeroes
def resident():
    return int(re.search(r"Rss: +([0-9]+)", open("/proc/self/smaps_rollup").read()).group(1))
size = 32 << 20
own = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
shared = mmap.mmap(-1, size)
own[:] = shared[:] = bytes(size)
own[5 << 20] = own[size - 1] = shared[7] = 1
before = resident()
drop_zeroes()
assert 28 << 10 < before - resident() < 40 << 10, (before, resident())
assert own[5 << 20] == own[size - 1] == shared[7] == 1
assert sum(own[i << 16 : (i + 1) << 16].count(0) for i in range(size >> 16)) == size - 2
"""
    subprocess.run([sys.executable, "-c", script], check=True)
