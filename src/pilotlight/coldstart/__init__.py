"""A cold start as a plan: the plain ones, and what rewrites them."""
