"""Prove which packages an environment holds: the library's own wheel and the bills of materials."""
