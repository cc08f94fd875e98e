"""A loopback Polymarket: Gamma, CLOB reads and the market channel, generated or recorded, with scripted faults."""
