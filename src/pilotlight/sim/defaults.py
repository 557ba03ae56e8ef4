"""What is simulated where no config says otherwise: the default policies, as a config that can be copied."""

from pilotlight.spec.load import parse
from pilotlight.spec.model import Config

TEXT = """\
# The default policies of `pilotlight simulate`. Copy it, change it, and give it back with --config.
defaults:
  ttl: auto                   # how long an idle replica stays is learned
  base: auto                  # so is how many are always up, at the dedicated price
  target_requests: 8
  max_requests: 8             # slots of a replica
  max_replicas: 100000        # no limit
  max_pending_requests: 1000000000
  startup_timeout: 365d
objective: {wait: 2s, cold_rate: [2%, 5%]}
# prices: {gpu_month_usd: 2500, serverless_premium: 2.5, commitment: 1h}   # examples: set what you pay
simulation: {first_token: 50ms, per_token: 30ms, warm_up: 10%}
"""

NAME = "default"
"""What results call it."""


def default_config() -> Config:
    return parse(TEXT, "the default config", {}, simulated=True)
