"""One file per verb; the only place where parts are put together."""
