"""Where facts live: every resource of this node with its version, under Talos's names.

Holds what others found out, and tells who watches; finds out nothing itself. No I/O, no clock.
"""
