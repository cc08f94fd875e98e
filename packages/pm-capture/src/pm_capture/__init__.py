"""Record every WebSocket frame of the Polymarket market channel byte for byte, with both clocks, into a run bundle."""
