"""One supervisor for the replicas of this machine: carries out start plans, watches what is up, stops it."""
