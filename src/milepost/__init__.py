"""Milepost: a self-hosted loyalty engine."""

__version__ = "0.1.0"
