"""Rules on single answers: what a text, a date, a number, a yes or no must be to count as an answer."""
