"""The fleet as values: deployments, replicas, events in, actions out. Nothing here decides or acts."""
