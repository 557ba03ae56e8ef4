"""The servers that are compared, each sensibly configured, and how to start them pinned to the proxy core.

A peer that is not there is reported as "not installed" and left out; nothing is guessed about it.
"""

import json
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import CACHE, HERE, LOAD_CORE, PROXY_CORE, Bench, Tree, build, fetch, free_port, wait_for

KEY, ADMIN_KEY = "sk-benchmark", "sk-benchmark-admin"
CHAT = "/v1/chat/completions"
VENVS = {"ray": "ray[serve]", "litellm": "litellm[proxy]"}


@dataclass
class Target:
    """A server under load."""

    name: str
    port: int
    tree: Tree
    model: str = "m"
    key: str = ""

    @property
    def load_options(self) -> list[str]:
        header = ["--header", f"Authorization: Bearer {self.key}"] if self.key else []
        return ["--model", self.model, *header]

    def cpu_ns(self) -> int:
        return self.tree.cpu_ns()


class NotInstalled(Exception):
    """Says what is missing and how to get it."""


def pilotlight_program(given: str | None = None) -> Path:
    """The `pilotlight` command: as given, beside this Python, in the repository's .venv, or on the path."""
    places = [
        Path(sys.executable).parent / "pilotlight",
        HERE.parent / ".venv/bin/pilotlight",
        Path(shutil.which("pilotlight") or "/nonexistent"),
    ]
    for place in [Path(given)] if given else places:
        if place.exists():
            return place.absolute()
    raise NotInstalled("the pilotlight command is not there; install the project first")


# ---- pilotlight ----------------------------------------------------------------------------------


def upstream_command(*options: str) -> str:
    own = shlex.join([str(build("upstream")), "--core", str(LOAD_CORE), *options])
    return own + " --port ${PORT}"


def pilotlight_config(
    bench: Bench, models: dict[str, object], port: int, name: str = "pilotlight", **top: object
) -> Path:
    """Writes a config (JSON is YAML) with a key in force and all state below the run's own folder."""
    config = {
        "host": "127.0.0.1",
        "port": port,
        "gpus": [],
        "cache_dir": str(bench.folder / f"{name}-cache"),
        "state_dir": str(bench.folder / f"{name}-state"),
        "api_keys": [
            {"name": "bench", "key_env": "BENCH_KEY", "requests_per_minute": 1e8, "models": list(models)},
            {"name": "admin", "key_env": "BENCH_ADMIN_KEY", "admin": True},
        ],
        "models": models,
        **top,
    }
    path = bench.folder / f"{name}.yaml"
    path.write_text(json.dumps(config, indent=1))
    return path


def start_pilotlight(
    bench: Bench,
    models: dict[str, object],
    *,
    program: str | None = None,
    core: int | None = PROXY_CORE,
    name: str = "pilotlight",
    **top: object,
) -> Target:
    """Starts the gateway and returns once /health answers; its models may still be cold."""
    port = free_port()
    config = pilotlight_config(bench, models, port, name, **top)
    tree = bench.start(
        name,
        [pilotlight_program(program), "serve", config],
        env={"BENCH_KEY": KEY, "BENCH_ADMIN_KEY": ADMIN_KEY},
        core=core,
        exclude=[build("upstream")],
    )
    wait_for(port, tree, "/health")
    return Target(name, port, tree, model=next(iter(models)), key=KEY)


def _model(options: dict[str, object]) -> dict[str, object]:
    return {
        "engine": "command",
        "cmd": upstream_command(*options["upstream_options"]),  # type: ignore[misc]
        "min_replicas": 1,
        "max_replicas": 1,
        "max_pending_requests": 10_000,
        "memory": "64MiB",
    }


def pilotlight(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    return start_pilotlight(bench, {"m": _model(options)}, program=options.get("pilotlight"))  # type: ignore[arg-type]


def burst(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    """A pilotlight that could burst to a provider, and has no reason to."""
    far = {
        "base_url": f"http://127.0.0.1:{upstream}/v1",
        "price": {"million_input_usd": 1.0, "million_output_usd": 2.0},
        "budget": {"month_usd": 100.0},
    }
    model = {**_model(options), "burst": {"provider": "far"}}
    program: str | None = options.get("pilotlight")  # type: ignore[assignment]
    return start_pilotlight(bench, {"m": model}, program=program, name="burst", providers={"far": far})


# ---- the others ----------------------------------------------------------------------------------

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
worker_rlimit_nofile 30000;
events {{ worker_connections 8192; }}
http {{
  access_log {folder}/nginx-access.log combined;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
  upstream engine {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    client_max_body_size 64m;
    client_body_buffer_size 128k;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffering {buffering};
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


def nginx(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        raise NotInstalled("apt-get install nginx-light")
    port, config = free_port(), bench.folder / "nginx.conf"
    buffering = "off" if options.get("streaming") else "on"
    config.write_text(NGINX.format(folder=bench.folder, port=port, upstream=upstream, buffering=buffering))
    tree = bench.start("nginx", [program, "-c", config, "-p", bench.folder], core=PROXY_CORE)
    return Target("nginx", port, tree)


HAPROXY = """
global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend front
  bind 127.0.0.1:{port} backlog 4096
  option forwardfor
  default_backend engine
backend engine
  server engine 127.0.0.1:{upstream}
"""


def haproxy(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if not program:
        raise NotInstalled("apt-get install haproxy")
    port, config = free_port(), bench.folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, upstream=upstream))
    return Target("haproxy", port, bench.start("haproxy", [program, "-db", "-f", config], core=PROXY_CORE))


def bare(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    try:
        python = pilotlight_program(options.get("pilotlight")).parent / "python"  # type: ignore[arg-type]
    except NotInstalled:
        python = Path(sys.executable)
    if subprocess.run([python, "-c", "import aiohttp, uvloop"], capture_output=True, check=False).returncode:
        raise NotInstalled("needs aiohttp and uvloop")
    port = free_port()
    argv = [python, HERE / "targets/aiohttp_bare.py", str(port), f"http://127.0.0.1:{upstream}"]
    return Target("bare", port, bench.start("bare", argv, core=PROXY_CORE))


def venv_program(name: str, program: str, install: bool) -> Path:
    """A program of a peer's own environment in the cache folder, created first when `install` is set."""
    folder = CACHE / name
    if install and not (folder / "bin" / program).exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", VENVS[name]], check=True)
    if not (folder / "bin" / program).exists():
        raise NotInstalled("run once with --install")
    return folder / "bin" / program


def ray(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    venv_program("ray", "serve", bool(options.get("install")))
    port = free_port()
    tree = bench.start(
        "ray",
        [CACHE / "ray/bin/python", HERE / "targets/ray_app.py", str(port)],
        env={"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(bench.folder)},
        core=PROXY_CORE,
    )
    return Target("ray", port, tree)


def litellm(bench: Bench, upstream: int, options: dict[str, object]) -> Target:
    program = venv_program("litellm", "litellm", bool(options.get("install")))
    port, config = free_port(), bench.folder / "litellm.yaml"
    model = {"model": "openai/stand-in", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "m", "litellm_params": model}],
                "general_settings": {"master_key": KEY},
                "litellm_settings": {"telemetry": False},
            }
        )
    )
    argv = [program, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    env = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    return Target("litellm", port, bench.start("litellm", argv, env=env, core=PROXY_CORE), key=KEY)


STARTERS = {
    "pilotlight": pilotlight,
    "burst": burst,
    "nginx": nginx,
    "haproxy": haproxy,
    "bare": bare,
    "ray": ray,
    "litellm": litellm,
}


def start_targets(
    bench: Bench, names: list[str], upstream_options: Sequence[str], **options: object
) -> tuple[dict[str, Target], dict[str, str]]:
    """Starts "direct" and all of `names`; returns them, and for each that could not be had, why."""
    upstream, tree = bench.start_upstream(*upstream_options)
    targets, missing = {"direct": Target("direct", upstream, tree)}, {}
    for name in names:
        try:
            target = STARTERS[name](bench, upstream, {**options, "upstream_options": upstream_options})
        except NotInstalled as reason:
            missing[name] = f"not installed ({reason})"
            continue
        chat = {"model": target.model, "messages": [{"role": "user", "content": "hi"}]}
        wait_for(target.port, target.tree, CHAT, body=chat, key=target.key, timeout=180)
        targets[name] = target
    for target in targets.values():
        warm_up(target)
    return targets, missing


def warm_up(target: Target) -> None:
    """Some hundred requests at once, so that nothing is done for the first time while it is measured."""
    argv = [build("load"), "--port", str(target.port), "--connections", "32", "--requests", "200"]
    subprocess.run([*argv, "--timeout", "60", *target.load_options], stdout=subprocess.DEVNULL, check=True)


def admin(target: Target, path: str) -> bytes:
    """The body of one of the gateway's admin routes."""
    reply = fetch(target.port, path, key=ADMIN_KEY)
    if reply.status != 200:
        raise RuntimeError(f"{path}: {reply.status} {reply.body[:200]!r}")
    return reply.body
