"""Commands that look at a model in use: the monitor, and campaigns."""
