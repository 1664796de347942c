"""Refuse a bad answer before anything is written, in one sentence that says how to mend it."""

import re
import sys

SLUG = {{ cookiecutter.project_slug | tojson }}
NAME = {{ cookiecutter.project_name | tojson }}
ORGANISATION = {{ cookiecutter.organisation | tojson }}
CONTACT = {{ cookiecutter.contact | tojson }}
DPO_CONTACT = {{ cookiecutter.dpo_contact | tojson }}
BUCKET = {{ cookiecutter.s3_bucket | tojson }}

TEXT = re.compile(r'[^"\\\x00-\x1f{}]{1,80}')
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
CHECKS = [
    ("project_slug", SLUG, re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"), 50,
     "small letters, digits and single hyphens, starting with a letter, such as acme-churn"),
    ("project_name", NAME, TEXT, 80, "1 to 80 characters without quotes, backslashes or braces"),
    ("organisation", ORGANISATION, TEXT, 80, "1 to 80 characters without quotes, backslashes or braces"),
    ("contact", CONTACT, EMAIL, 120, "one e-mail address, such as ml-team@example.eu"),
    ("dpo_contact", DPO_CONTACT, EMAIL, 120, "one e-mail address, such as dpo@example.eu"),
    ("s3_bucket", BUCKET, re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])"), 63,
     "3 to 63 small letters, digits and hyphens, such as acme-churn"),
]

for key, value, pattern, longest, allowed in CHECKS:
    too_short = key == "s3_bucket" and len(value) < 3
    if too_short or len(value) > longest or not pattern.fullmatch(value):
        sys.exit(f"{key} is {value!r}, but it must be {allowed}: call cookiecutter again with another {key}.")
