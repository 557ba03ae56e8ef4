"""Advice: which tier serves a traffic at the least cost, of those that were simulated on it."""
