"""A replica that is put aside and woken, in place of being stopped and started: it rewrites no plan, it has its own.

What goes to sleep, when, and what that frees is the kernel's (policy/sleeping.py, policy/rest.py); how it is done and
measured is the worker's (worker/asleep.py).
"""

from pilotlight.fleet.plan import Plan, Stage, step

NAME = "sleep"

WAKE = Plan((step(Stage.WAKE),), (NAME,))
"""For those who estimate a wake."""
