"""Does the input look right? The checks at the end of step 1, and what they look at."""
