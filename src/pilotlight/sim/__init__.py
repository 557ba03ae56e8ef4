"""Replays request traces through the code that decides, in virtual time, and says what it would have cost."""
