"""What is recorded, and its exporters."""
