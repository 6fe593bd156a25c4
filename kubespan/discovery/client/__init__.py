"""A member's side of discovery. Read `membership` first: it decides; `client` and `services` do."""
