"""What every front door shares: keys, quotas, error bodies, headers, server-sent events."""
