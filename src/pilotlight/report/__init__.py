"""Figures as pages that stand by themselves: one HTML file, no network, light and dark."""
