"""kubespan: a WireGuard mesh, its protocol in readable Python, its packets in native code."""

__version__ = "0.1.0"
