"""What a zygote puts into huge pages; what that is worth needs a large one, see benchmarks."""

import subprocess
import sys
from pathlib import Path

from fault.guardian_kit import linux_only

pytestmark = linux_only
ROOT = Path(__file__).parents[3] / "src"


def run(script: str) -> str:
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", path + script], check=True, capture_output=True, text=True
    ).stdout


def test_what_it_holds_is_what_it_held_and_so_it_is_in_its_forks():
    script = """
import hashlib, os
from pilotlight_guest import huge_pages
kept = [os.urandom(1000) for _ in range(100_000)]
def digest():
    return hashlib.sha256(b"".join(kept)).hexdigest()
before = digest()
huge_pages.collapse()
pid = os.fork()
if pid == 0:
    kept[:] = [bytes(reversed(part)) for part in kept]
    os._exit(0 if digest() != before else 1)
assert os.waitpid(pid, 0)[1] == 0, "a fork writes to what is its own"
assert digest() == before
"""
    run(script)


def test_whole_pages_of_its_own_memory_and_nothing_else():
    script = """
import mmap
from pilotlight_guest import huge_pages
size = 8 * huge_pages.SIZE
own, shared = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), mmap.mmap(-1, size)
own.write(bytes(size))
found = huge_pages._own()
assert found and all(a % huge_pages.SIZE == 0 == b % huge_pages.SIZE and a < b for a, b in found)
maps = [line.split() for line in open("/proc/self/maps")]
held = {tuple(int(x, 16) for x in words[0].split("-")): words for words in maps}
for a, b in found:
    words = next(w for (start, end), w in held.items() if start <= a and b <= end)
    assert words[1] == "rw-p" and words[5:] in ([], ["[heap]"]), words
assert sum(b - a for a, b in found) >= 7 * huge_pages.SIZE
"""
    run(script)


def test_what_is_hardly_in_use_takes_no_more_for_it():
    script = """
import mmap
from pilotlight_guest import huge_pages
own = mmap.mmap(-1, 64 * huge_pages.SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, len(own), huge_pages.SIZE):
    own[at] = 1
def taken():
    return int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE
huge_pages._WORTH_IT, before = 1, taken()
huge_pages.collapse()
assert taken() - before < 16 * huge_pages.SIZE, taken() - before
"""
    run(script)


def test_little_is_left_as_it_is():
    script = """
import ctypes
from pilotlight_guest import huge_pages
asked = []
class Library:
    def madvise(self, *words): asked.append(words)
ctypes.CDLL = lambda name: Library()
huge_pages.collapse()
print(len(asked))
huge_pages._WORTH_IT = 1
kept = bytearray(16 << 20)
huge_pages.collapse()
print(len(asked))
"""
    few, many = map(int, run(script).split())
    assert few == 0 < many
