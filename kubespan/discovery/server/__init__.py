"""The service's side of discovery. Read `registry` first: it is the state; `servicer` answers."""
