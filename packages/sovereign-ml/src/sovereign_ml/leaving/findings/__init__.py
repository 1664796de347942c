"""Parts of the checklist, waivers of findings, and findings as SARIF."""
