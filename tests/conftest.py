"""Hypothesis times each example by the clock on the wall, of which whatever else runs takes its part: there is no
deadline, as in its own profile for CI."""

from hypothesis import settings

settings.register_profile("no deadline", settings(), deadline=None)
settings.load_profile("no deadline")
