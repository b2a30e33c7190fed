"""Stakehold: a staking service."""

__version__ = "0.1.0"
