"""Behind a model's last stop its weights are laid in huge pages where they lie in memory in small ones, so that the
next start maps them sooner.

It rewrites no plan and no trace names it, for nothing of it happens in a start: when it does is the worker's
(worker/laying.py), and what is done is in weights/huge.py.
"""

NAME = "huge_pages"
