"""Jobs of a Slurm cluster on which nothing is installed: sbatch, squeue, scancel and files, through a transport."""

from labwright.adapters.providers.slurm.provider import Ours, SlurmProvider

__all__ = ["Ours", "SlurmProvider"]
