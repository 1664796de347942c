"""The team's flow and model: eight steps from transactions to scores."""
