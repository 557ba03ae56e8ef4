"""Decides. No IO, no clock, no dice, no logging; one algorithm, one file."""
