"""Protocols between the controller and the world, with their value types and nothing else."""
