"""The parts of the bench-* scripts. Standard library only."""
