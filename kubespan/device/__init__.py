"""The live thing: clock, sockets, lanes and one event loop around the core.

Carries out what the core asks for and hands it what happens. It decides nothing about WireGuard.
"""
