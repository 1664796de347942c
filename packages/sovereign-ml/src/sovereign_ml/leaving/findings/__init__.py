"""Waivers of findings, and findings as SARIF."""
