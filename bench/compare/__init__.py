"""Our data plane and others' side by side: `python -m bench.compare --help`.

Two network namespaces and one veth pair for every implementation, real TUN devices, TCP by iperf3,
paced small packets, idle round trips; one report with ratios. Never touches the host's network.
"""
