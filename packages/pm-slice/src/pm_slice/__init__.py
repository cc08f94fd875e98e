"""Cut windows out of run bundles, put bundles together, and archive them, without touching a byte."""
