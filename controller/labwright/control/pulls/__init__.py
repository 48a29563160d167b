"""The lane of pull requests: watched, planned, approved, let run, and told of on the forge."""
