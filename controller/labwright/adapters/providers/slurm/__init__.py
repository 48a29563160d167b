"""Jobs of a Slurm cluster on which nothing is installed: sbatch, squeue, scancel and files, through a transport."""

from labwright.adapters.providers.slurm.provider import SlurmProvider

__all__ = ["SlurmProvider"]
