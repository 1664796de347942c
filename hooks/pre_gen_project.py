"""Refuse bad answers, and a folder with files in it, before anything is written. Say how to mend each."""

import re
import sys
from pathlib import Path

SLUG = {{ cookiecutter.project_slug | tojson }}
NAME = {{ cookiecutter.project_name | tojson }}
ORGANISATION = {{ cookiecutter.organisation | tojson }}
CONTACT = {{ cookiecutter.contact | tojson }}
DPO_CONTACT = {{ cookiecutter.dpo_contact | tojson }}
BUCKET = {{ cookiecutter.s3_bucket | tojson }}
PARTS = {{ cookiecutter.parts | tojson }}
ENDPOINT = {{ cookiecutter.__s3_endpoint | tojson }}

# Neither blanks around it, nor what TOML forbids, what YAML takes for a line end, or what turns text around.
TEXT = re.compile(r'(?!\s)[^"\\{}\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,80}(?<!\s)')
TEXT_IN_WORDS = "1 to 80 characters without quotes, backslashes, braces and control characters, and no blank around them"
PART = "(infra|kubeflow|kserve|jupyterhub|sagemaker|hopsworks|clearml|spark)"
# In CODEOWNERS a # begins a comment, and nobody would be asked.
EMAIL = re.compile(r"[\w.!%&'*+/=?^~-]+@[^\W_]([\w-]*[^\W_])?(\.[^\W_]([\w-]*[^\W_])?)+")
CHECKS = [
    ("project_slug", SLUG, re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"), 50,
     "small letters, digits and single hyphens, starting with a letter, such as acme-churn"),
    ("project_name", NAME, TEXT, 80, TEXT_IN_WORDS),
    ("organisation", ORGANISATION, TEXT, 80, TEXT_IN_WORDS),
    ("contact", CONTACT, EMAIL, 120, "one e-mail address without #, such as ml-team@example.eu"),
    ("dpo_contact", DPO_CONTACT, EMAIL, 120, "one e-mail address without #, such as dpo@example.eu"),
    ("s3_bucket", BUCKET, re.compile(r"(?!.*(\.[.-]|-\.)|[0-9.]+$)[a-z0-9][a-z0-9.-]+[a-z0-9]"), 63,
     "3 to 63 small letters, digits, hyphens and single dots between them, and no IP address, such as acme-churn"),
    ("parts", PARTS, re.compile(f"all|none|{PART}([ ,]+{PART})*"), 80,
     "all, none, or some of infra, kubeflow, kserve, jupyterhub, sagemaker, hopsworks, clearml and spark"),
]

if "{" in ENDPOINT:
    sys.exit("This cookiecutter is too old for the template: 2.1 or newer is needed.")
if any(path.name != ".git" for path in Path.cwd().iterdir()):
    sys.exit(f"{Path.cwd()} has files in it, and rendering would replace some of them: nothing was written. "
             "A project takes a newer template by `cruft update`. Render a new one into another folder.")
wrong = [
    f"{key} is {value!r}, but it must be {allowed}."
    for key, value, pattern, longest, allowed in CHECKS
    if len(value) > longest or not pattern.fullmatch(value)
]
if wrong:
    sys.exit("\n".join([*wrong, "Call cookiecutter again with other answers."]))
