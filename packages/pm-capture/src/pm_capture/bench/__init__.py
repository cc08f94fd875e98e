"""`pm-capture bench`: how fast frames get from a loopback socket to the disk, through the real program."""
