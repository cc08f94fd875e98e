"""Read and write the run bundles of a market-data capture: frames, index, runlog and run state."""
