"""SMPP 3.4: protocol data units, sessions for both ends, and the simulated SMSC."""
