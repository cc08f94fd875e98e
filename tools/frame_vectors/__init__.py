"""The vectors of the frame and idx formats, made without the codec that they test."""
