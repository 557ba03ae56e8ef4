"""What capacity costs: prices, the ledger that adds up what replicas took, and what else they could have cost."""
