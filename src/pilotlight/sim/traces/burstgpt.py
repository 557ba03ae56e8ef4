"""BurstGPT: seconds from the first day's start. A failed request has no response tokens; it is kept, it was asked.

Source: github.com/HPMLL/BurstGPT, data/BurstGPT_*.csv; later files have a `Session ID`.
"""

from pilotlight.sim.traces.layout import Layout

BURSTGPT = Layout(
    "BurstGPT", "Timestamp", "Request tokens", "Response tokens", model="Model", session="Session ID"
)
