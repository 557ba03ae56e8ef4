"""Measures what a start costs and what each technique takes off it, on the real server, from outside."""
