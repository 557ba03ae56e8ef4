"""The config that `pilotlight init` writes: it serves as it stands, and shows where to go from there."""

STARTER = """\
# A pilotlight config. `pilotlight check` looks it over, `pilotlight serve` serves it.
host: 127.0.0.1
port: 8080

models:
  # A small real model, about 650 MB, fetched when it is first asked (or by `pilotlight pull`).
  chat:
    source: hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q8_0.gguf
    aliases: [gpt-4o-mini]
    max_replicas: 2
    target_requests: 4      # in flight per replica before another is started
    ttl: 5m                 # idle time before it goes back to zero
    engine_args: {n_ctx: 4096}

  # Random weights, made on first use: it answers noise, but starts, scales and streams like any other.
  demo:
    source: demo://50m

  # Any OpenAI-compatible server. This one is vLLM on one GPU.
  # big:
  #   engine: command
  #   cmd: vllm serve Qwen/Qwen2.5-7B-Instruct --host 127.0.0.1 --port ${PORT}
  #   served_name: Qwen/Qwen2.5-7B-Instruct
  #   gpus: 1
  #   ttl: 15m

# For every model that does not say otherwise: learn how long an idle replica stays.
# defaults: {ttl: auto}
# How many requests may wait for a start: spend more above the band, less below it.
# objective: {wait: 2s, cold_rate: [2%, 5%]}

# Without keys every request is let in. Each key stays in the environment variable named here.
# api_keys:
#   - {name: team-a, key_env: TEAM_A_KEY, models: [demo], requests_per_minute: 600}
#   - {name: admin, key_env: ADMIN_KEY, admin: true}
"""


def starter() -> str:
    """The text of a config that loads anywhere."""
    return STARTER
