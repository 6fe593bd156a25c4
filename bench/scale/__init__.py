"""What many peers cost, and what a flood of strangers does: `python -m bench.scale --help`.

Everything happens in network namespaces of its own; a flood never leaves them. Needs root.
"""
