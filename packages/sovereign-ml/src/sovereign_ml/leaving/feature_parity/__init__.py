"""Parity of features: values of the old feature store against ours at the same moments."""
