"""Commands for a model in use: the monitor and campaigns."""
