"""What a venue sends: a generated market, a recording of frames, or a run bundle."""
