"""What the monitor hands on: reports and alarms in the bucket, and figures for the card."""
