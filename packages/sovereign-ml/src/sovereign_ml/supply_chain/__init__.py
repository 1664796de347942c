"""Proof of the packages in an environment: the library's own wheel and bills of materials."""
