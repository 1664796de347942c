"""Checks of the input at the end of step 1, and the tables and counts that they use."""
