"""A stand-in for the sota CLI in tests, written from what the real one (v1.1.0, built from source) was seen to do.

It packs the current folder with the client's own ignore rules, fails on a symbolic link, uploads, prints the stream,
and then always says "Deployed to" and ends 0, whatever became of the build. It knows `deploy` only.
"""

import io
import json
import os
import re
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

IGNORED = (
    ".git/",
    ".git",
    "node_modules/",
    "node_modules",
    ".env",
    ".env.*",
    "*.log",
    ".DS_Store",
    ".sota.json",
)
IGNORED += ("__pycache__/", "__pycache__", ".venv/", ".venv", "vendor/")
PART = 'Content-Disposition: form-data; name="archive"; filename="archive.tar.gz"'


def main():
    """`sota [--api-url URL] deploy`."""
    api, arguments = "https://api.sota.io", sys.argv[1:]
    if arguments[:1] == ["--api-url"]:
        api, arguments = arguments[1], arguments[2:]
    for flag in arguments:
        if flag.startswith("-"):
            fail(f"unknown flag: {flag}")
    if arguments[:1] != ["deploy"]:
        fail("this stand-in only knows deploy")
    deploy(api, os.environ.get("SOTA_API_KEY", ""))


def deploy(api, token):
    """Upload the current folder, show the stream, and end well whatever comes of it."""
    if not token:
        fail("not authenticated. Run 'sota login' or 'sota auth set-key <key>'")
    if not Path(".sota.json").exists():
        fail("project name required")
    project = json.loads(Path(".sota.json").read_text())
    print(f"Deploying {project['project_slug']}...")
    content = archive()
    print(f"Packaging... {len(content)} B")
    base, headers = (
        f"{api}/v1/projects/{project['project_id']}",
        {"Authorization": f"Bearer {token}"},
    )
    deployment = upload(f"{base}/deploy", content, headers)
    print("Uploading... done\n\nBuild logs:")
    show_stream(
        urllib.request.Request(f"{base}/deployments/{deployment}/logs/stream", headers=headers)
    )
    print(f"\nDeployed to https://{project['project_slug']}.sota.io")


def archive():
    """The current folder as tar.gz, entries named relative without a leading dot."""
    ignore = Path(".sotaignore") if Path(".sotaignore").exists() else Path(".gitignore")
    lines = ignore.read_text().splitlines() if ignore.exists() else []
    patterns = (*IGNORED, *(line for line in lines if line and not line.startswith("#")))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        add(tar, Path(), patterns)
    return buffer.getvalue()


def add(tar, folder, patterns):
    """Everything below ``folder`` that no pattern matches."""
    for path in sorted(folder.iterdir()):
        if any(matches(path.as_posix(), pattern) for pattern in patterns):
            continue
        if path.is_symlink():
            fail("creating archive: archive/tar: write too long")
        tar.add(path, arcname=path.as_posix(), recursive=False)
        if path.is_dir():
            add(tar, path, patterns)


def matches(path, pattern):
    """The client's matcher: folder patterns from the root, names at any depth, stars within one component."""
    if pattern.endswith("/"):
        return path == pattern[:-1] or path.startswith(pattern)
    star = re.compile(re.escape(pattern).replace(r"\*", "[^/]*"))
    parts = path.split("/")
    return pattern in (path, *parts) or (
        "*" in pattern and any(star.fullmatch(text) for text in (path, parts[-1]))
    )


def upload(url, content, headers):
    """The id of the new deployment, which the real client does not print."""
    head = f"--mark\r\n{PART}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    kind = {"Content-Type": "multipart/form-data; boundary=mark"}
    try:
        request = urllib.request.Request(
            url, head + content + b"\r\n--mark--\r\n", {**headers, **kind}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["data"]["id"]
    except urllib.error.HTTPError as error:
        problem = json.load(error)["error"]
        return fail(f"uploading: {problem['code']}: {problem['message']}")


def show_stream(request):
    """Lines that start exactly `data: `; a stream that is missing or cut is no error to the client."""
    try:
        with urllib.request.urlopen(request) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    print(line[6:].decode().rstrip())
    except urllib.error.HTTPError:
        print("(streaming not available, check logs with 'sota logs')")
    except OSError:
        pass


def fail(message):
    """Errors go to standard error and end 1."""
    sys.stdout.flush()  # the real client does not buffer, so its error comes last
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
