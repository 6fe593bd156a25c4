"""The node: the one place that knows everyone. It drives, and decides nothing by itself."""
