"""Where the figures of README.md come from."""
