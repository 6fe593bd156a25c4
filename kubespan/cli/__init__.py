"""Programs. Nothing imports this floor; it puts the others together and talks to the operator."""
