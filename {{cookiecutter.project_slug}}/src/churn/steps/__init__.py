"""The flow, one file per step in order; steps meet only through files."""
