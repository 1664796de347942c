"""Commands of the library, one file per group."""
