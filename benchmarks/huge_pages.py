"""Weights in the page cache in small pages and in huge ones: what mapping them, loading them and a first token take.

    python benchmarks/huge_pages.py                    # demo://1b, 15 rounds in turns: a minute
    python benchmarks/huge_pages.py --model demo://50m --rounds 30

A demo model is copied into one file 64 KiB at a time, as curl does, into another 2 MiB at a time, as pilotlight writes,
and into a third as into the first, which is then laid anew, as behind a model's last stop. They are loaded by turns,
each in a fork of one process that has imported llama.cpp, with the settings that pilotlight gives it and one slot of
2,048 tokens. In brackets: in parts of the first. How much of each file lies in huge pages stands in the table: none
where the file system has none, and then the columns are alike. Not while other programs run.
"""

import argparse
import ctypes
import json
import mmap
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import CACHE
from rounds import order_of_round, report, table

from pilotlight.engines.llamacpp import LlamaCppEngine
from pilotlight.spec.model import Model
from pilotlight.weights.blocks import BLOCK
from pilotlight.weights.cache import WeightCache
from pilotlight.weights.huge import lay_anew
from pilotlight_guest import llamacpp_server

PIECES = {"64 KiB at a time": 1 << 16, "2 MiB at a time": BLOCK, "64 KiB at a time, laid anew": 1 << 16}
SMALL, *OTHERS = PIECES
LAID = OTHERS[-1]
MODEL = Model(source="demo://1b", max_requests=1, engine_args={"n_ctx": 2048})
ROWS = ("mapping ms", "load ms", "load and first token ms", "CPU ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo://1b")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", help="write all figures to this file")
    args = parser.parse_args()
    begun_as_pilotlight_does()
    llamacpp_server.import_runtime()
    weights = WeightCache(CACHE).fetch(args.model)
    with tempfile.TemporaryDirectory(prefix="pilotlight-bench-", dir=CACHE) as folder:
        files = {name: copied(weights, Path(folder, name), size) for name, size in PIECES.items()}
        laid = lay_anew([files[LAID]], lambda: False)
        print(f"laid {laid.huge >> 20} MiB anew, {laid.in_vain >> 20} in vain", file=sys.stderr)
        found: dict[str, list[list[float]]] = {name: [] for name in files}
        for number in range(args.rounds):
            for name in order_of_round(list(files), number):
                found[name].append(in_a_fork(lambda path=files[name]: measured(path)))
        huge = {name: huge_share(path) for name, path in files.items()}
    medians = {name: [statistics.median(c) for c in zip(*rows, strict=True)] for name, rows in found.items()}
    rows = [
        [
            what,
            f"{small:.1f}",
            *(f"{(value := medians[name][i]):.1f} ({value / small:.2f})" for name in OTHERS),
        ]
        for i, (what, small) in enumerate(zip(ROWS, medians[SMALL], strict=True))
    ]
    rows.append(["in huge pages", *(f"{100 * huge[name]:.0f} %" for name in PIECES)])
    report("huge_pages", {"model": args.model, "found": found}, table(["", *PIECES], rows), args.json)


def begun_as_pilotlight_does() -> None:
    """With the environment that it gives llama.cpp, which the C library reads when a program begins."""
    env = LlamaCppEngine().launch(MODEL, 0, (), Path()).env
    if any(os.environ.get(name) != value for name, value in env.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **env})


def copied(source: Path, target: Path, size: int) -> Path:
    with source.open("rb") as data, target.open("wb", buffering=0) as copy:
        while piece := data.read(size):
            copy.write(piece)
        os.fsync(copy.fileno())
    return target


def in_a_fork(work: Callable[[], list[float]]) -> list[float]:
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what llama.cpp logs
        os.write(writes, json.dumps(work()).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        raise SystemExit("llama.cpp could not load the model")
    return json.loads(text)


def measured(path: Path) -> list[float]:
    """Milliseconds, in the order of ROWS."""
    mapping = 1e3 * mapped(path)
    params = llamacpp_server.parameters(sys.modules["xllamacpp"], order(path))
    cpu, began = time.process_time(), time.perf_counter()
    server = sys.modules["xllamacpp"].Server(params)
    loaded = time.perf_counter() - began
    server.handle_completions({"prompt": f"{random.getrandbits(32):x}", "max_tokens": 1})
    both = time.perf_counter() - began
    return [mapping, 1e3 * loaded, 1e3 * both, 1e3 * (time.process_time() - cpu)]


def order(path: Path) -> dict[str, object]:
    return {"weights": str(path), "args": LlamaCppEngine().settings(MODEL, None), "port": 0}


def mapped(path: Path) -> float:
    """Seconds until every page of the file has its entry in this process."""
    with path.open("rb") as file:
        began = time.perf_counter()
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ).close()
        return time.perf_counter() - began


def huge_share(path: Path) -> float:
    """Of the file that one entry of 2 MiB maps, as the kernel says of a mapping of it."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    size = path.stat().st_size
    with path.open("rb") as file:
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, flags, file.fileno(), ctypes.c_long(0))
        of_it, found = False, 0
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if not line.split()[0].endswith(":"):
                of_it = line.endswith(str(path))
            elif of_it and line.startswith("FilePmdMapped:"):
                found += int(line.split()[1]) * 1024
    return found / size


if __name__ == "__main__":
    main()
