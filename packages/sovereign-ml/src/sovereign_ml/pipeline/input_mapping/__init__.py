"""SQL that maps the team's files to the contract: people, purchases and events."""
