"""The steps of the flow in order, one file each. A step reads and writes folders, nothing else."""
