"""Keep the chosen licence and the CI file of the chosen forge, make the folder a git repository, and say what to do next. No network."""

import shutil
import subprocess
import sys
from pathlib import Path

FORGE = {{ cookiecutter.forge | tojson }}
LICENCE = {{ cookiecutter.licence | tojson }}
SLUG = {{ cookiecutter.project_slug | tojson }}
ORGANISATION = {{ cookiecutter.organisation | tojson }}
CONTACT = {{ cookiecutter.contact | tojson }}
CI = {"gitlab": ".gitlab-ci.yml", "forgejo": ".forgejo", "github": ".github"}


def git(*arguments):
    """Run git here; what it prints is shown only when it fails."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


for forge, name in CI.items():
    path = Path(name)
    if forge != FORGE and path.exists():
        shutil.rmtree(path) if path.is_dir() else path.unlink()

if LICENCE != "proprietary":
    Path(".licences", LICENCE).replace("LICENSE")
shutil.rmtree(".licences")

if shutil.which("git") is None:
    print("git is not installed: run `git init` here later; DVC and the card need the commit.", file=sys.stderr)
elif git("rev-parse", "--show-toplevel").stdout.strip() == str(Path.cwd()):
    print("This folder is a git repository already: no commit was made.", file=sys.stderr)
else:
    who = [] if git("config", "user.email").stdout.strip() else [
        "-c", f"user.name={ORGANISATION}", "-c", f"user.email={CONTACT}"
    ]
    for step in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"],
                 [*who, "commit", "--quiet", "--no-verify", "--message", "Start from sovereign-ml-template"]):
        done = git(*step)
        if done.returncode:
            sys.exit(f"git {' '.join(step)} failed: {done.stderr.strip()}")

print(f"""
{SLUG} is ready. Next:
  cd {SLUG}
  make run     # the whole flow on the built-in shop, about two minutes the first time
  make test    # all tests
""")
