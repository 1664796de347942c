"""Keep the files of the chosen parts, forge and licence, record the template, and make the first commit. No network.

Nothing after the files themselves may fail: where git refuses, its words are shown and the project stays.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

FORGE = {{ cookiecutter.forge | tojson }}
LICENCE = {{ cookiecutter.licence | tojson }}
SLUG = {{ cookiecutter.project_slug | tojson }}
ORGANISATION = {{ cookiecutter.organisation | tojson }}
CONTACT = {{ cookiecutter.contact | tojson }}
ANSWERS = json.loads({{ cookiecutter | tojson | tojson }})
EXAMPLE = {{ cookiecutter.example | tojson }}
LABEL = {{ cookiecutter.label | tojson }}
FILES = {
    "infra": ("infra/compose.yaml", "infra/databases.sql", "infra/images.env", "infra/kustomize",
              "infra/make-secrets", "infra/monitoring", "infra/up"),
    "jupyterhub": ("infra/jupyterhub",),
    "kserve": ("deploy/kserve",),
    "kubeflow": ("infra/kubeflow/notebook.yaml", "src/churn/pipeline.py"),
    "sagemaker": ("docs/leave-sagemaker.md",),
    "hopsworks": ("requirements/hopsworks.in", "requirements/hopsworks.lock"),
    "clearml": ("requirements/clearml.in", "requirements/clearml.lock"),
    "spark": ("requirements/spark.in", "requirements/spark.lock", "infra/Dockerfile.spark", "infra/kubeflow/spark-features.yaml"),
    "kubeflow or spark": ("infra/kubeflow",),
    "infra or jupyterhub or kubeflow or spark": ("infra",),  # the image of the project
}
"""What is there only with a part."""
WANTED = re.findall("[a-z]+", {{ cookiecutter.parts | tojson }})
PARTS = [part for part in FILES if " or " not in part]
MARK = re.compile(r"(?: *<!--|((?:^| +)#)) with ((?:{0})(?: or (?:{0}))*)(?: -->)?(?(1)(?=\s*$))".format("|".join(PARTS)))
"""The end of a line that is there only with a part; behind a heading, its whole section."""
CI = {"gitlab": (".gitlab-ci.yml", ".gitlab"), "forgejo": (".forgejo",), "github": (".github",)}

# With these git would work on another repository, as it does for a command that one of its hooks calls.
ELSEWHERE = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE", "GIT_LITERAL_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_PREFIX", "GIT_CONFIG",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_QUARANTINE_PATH",
)


def git(*arguments, folder="."):
    """Run git in ``folder``; what it prints is shown only when it fails."""
    command = ["git", "-C", str(folder), *arguments]
    own = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=own)


def say(text):
    print(text, file=sys.stderr)


def template_state():
    """Return address and commit of the template, or None: a zip, or a checkout with changes of its own.

    A password or token in the address stays out; the user of ssh does not. A relative path counts from where cookiecutter was called.
    """
    here = Path(os.environ.get("PWD", "."))
    if not ANSWERS.get("_repo_dir"):  # cookiecutter before 2.3 does not say where its copy is
        return None
    folder = (here / ANSWERS["_repo_dir"]).resolve()
    top = git("rev-parse", "--show-toplevel", folder=folder).stdout.strip()
    status = git("status", "--porcelain", folder=folder)
    if not top or Path(top).resolve() != folder or status.returncode or status.stdout:
        return None
    local = (here / ANSWERS["_template"]).is_dir()
    address = str(folder) if local else git("remote", "get-url", "origin", folder=folder).stdout.strip()
    commit = git("rev-parse", "HEAD", folder=folder).stdout.strip()
    if not address or not commit:
        return None
    return {"template": re.sub(r"^(?:(ssh://[^/:@]+):[^/]*(?=@)|(?!ssh)([\w+]+://)[^/]*@)", r"\1\2", address), "commit": commit}


def write_cruft_state():
    """Write what `cruft update` needs. cruft itself names a commit in its answers, and writes the file later."""
    state = None if "_commit" in ANSWERS else template_state()
    if state:
        answers = {key: value for key, value in ANSWERS.items() if not key.startswith("_")}
        state |= {"checkout": ANSWERS.get("_checkout"), "context": {"cookiecutter": answers}, "directory": None}
        Path(".cruft.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    elif "_commit" not in ANSWERS:
        say("The template is no clean clone of a git repository, so nobody can tell its version: there is no .cruft.json.\n"
            "`cruft update` needs one; `cruft link` writes it later.")


def first_commit():
    """Make the repository and its first commit, unless the folder belongs to a repository already."""
    asked = git("rev-parse", "--show-toplevel")
    top = asked.stdout.strip()
    if not top and any((folder / ".git").exists() for folder in Path.cwd().parents):
        say(f"This folder lies in a repository that git does not read: {' '.join(asked.stderr.split())}\n"
            "No commit was made.")
        return
    if top and (top == str(Path.cwd()) or git("check-ignore", "--quiet", ".").returncode):
        say(f"This folder belongs to the git repository {top} already: no commit was made.")
        return
    who = [] if git("config", "user.email").stdout.strip() else [
        "-c", f"user.name={ORGANISATION}", "-c", f"user.email={CONTACT}"
    ]
    # Whoever ignores *.whl or *.lock everywhere would leave out what a clone needs: --force.
    for verb, *options in (["init", "--quiet", "--initial-branch=main"], ["add", "--all", "--force"],
                           ["commit", "--quiet", "--no-verify", "--message", "Start from sovereign-ml-template"]):
        done = git(*who, verb, *options)
        if done.returncode:
            words = " ".join(done.stderr.split()) or f"exit {done.returncode}"
            say(f"git {verb} refused: {words}\n"
                "The project is complete. Make the first commit yourself; DVC and the card need it.")
            return


def remove(names):
    for path in map(Path, names):
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_wanted(parts):
    """Return whether one of the parts, such as "infra or kubeflow", was chosen."""
    return WANTED == ["all"] or not set(WANTED).isdisjoint(parts.split(" or "))


def without_marks(text):
    """Return a text without the lines and sections of parts that nobody wants, and without marks."""
    lines, left_out, in_code = [], 0, False
    for line in text.splitlines(keepends=True):
        in_code ^= line.lstrip().startswith("```")
        level = 0 if in_code else len(re.match("#*", line)[0])
        if left_out and 0 < level <= left_out:
            left_out = 0
        mark = MARK.search(line)
        if mark and not left_out and not is_wanted(mark[2]):
            left_out = level
            continue
        if not left_out:
            lines.append(MARK.sub("", line))
    return "".join(lines)


for forge, names in CI.items():
    if forge != FORGE:
        remove(names)
for parts, names in FILES.items():
    if not is_wanted(parts):
        remove(names)
MARKED = ("README.md", "Makefile", "config.toml", "requirements/train.in")
for path in (*map(Path, MARKED), *Path("docs").glob("*.md")):
    text = path.read_bytes().decode("utf-8")
    path.write_bytes(without_marks(text).encode("utf-8"))

# REUSE wants the text of each licence under its name: of the project's own, and of the library in vendor/.
texts = Path("LICENSES")
texts.mkdir(exist_ok=True)
shutil.copyfile(".licences/Apache-2.0", texts / "Apache-2.0.txt")
if LICENCE != "proprietary":
    Path(".licences", LICENCE).replace("LICENSE")
shutil.copyfile("LICENSE", texts / f"{'LicenseRef-Proprietary' if LICENCE == 'proprietary' else LICENCE}.txt")
shutil.rmtree(".licences")

# An archive of the template (zip) does not say which files are programs.
for path in Path("infra").glob("*"):
    if path.is_file() and path.read_bytes().startswith(b"#!"):
        mode = path.stat().st_mode
        path.chmod(mode | (mode & 0o444) >> 2)

if shutil.which("git"):
    write_cruft_state()
    first_commit()
else:
    say("git is not installed: run `git init` here later; DVC and the card need the commit.")

MORE = " --customers FILE --set label.kind=ended" if LABEL == "ended" else ""
FIRST = "  make run     # the whole flow on the built-in shop, about two minutes the first time"
if EXAMPLE == "own-data":
    FIRST = f"""  make setup
  .venv/bin/churn data suggest FILE{MORE}   # says how your file is read; --apply puts it into config.toml
  make run     # the whole flow"""
print(f"""
{SLUG} is ready. Next:
  cd {SLUG}
{FIRST}
  make test    # all tests""")
if "_commit" in ANSWERS:
    print("  git add .cruft.json && git commit -m 'Follow the template'   # `cruft update` needs it")
if FORGE == "gitlab":
    print("  # .gitlab-ci.yml needs the CI variable CI_IMAGE: an image with Python, git and make")
print()
