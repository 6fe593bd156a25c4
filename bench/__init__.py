"""Measurements: one pytest-benchmark file a part, and `compare`, the whole beside other WireGuards.

Nothing shipped imports this package.
"""
