"""The loop: asks ports, asks decide, writes the ledger. One thread decides; calls that may block run in a bounded pool."""
