"""Fakes that are good enough to ship: what tests, and programs built on kubespan, can run against.

Nothing that is part of the product imports this.
"""
