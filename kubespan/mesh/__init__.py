"""What the mesh should be: pure functions over what is known. No I/O, no clock, no randomness."""
