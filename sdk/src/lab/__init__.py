"""The `lab` SDK."""
