"""Data subjects' rights as code: erasure with a receipt, access, rectification, retention."""
