"""pilotlight's own columns, for CSV and Parquet."""

from pilotlight.sim.traces.layout import Layout

OWN = Layout(
    "pilotlight", "t", "prompt_tokens", "output_tokens", model="model", session="session", request_class="class",
    stand_in="stand_in",
)  # fmt: skip
