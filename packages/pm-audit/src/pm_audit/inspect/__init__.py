"""What is inside a run bundle, whatever state it is in."""
