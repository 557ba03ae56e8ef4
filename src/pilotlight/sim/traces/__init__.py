"""Request traces from files: one format, one file. `read.py` finds out which it is."""
