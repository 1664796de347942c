"""The staged folder holds what the image needs and nothing else, and is the same each time."""

import io
import json
import os
import tarfile

import pytest

from desks import BASE_IMAGE, LOCK
from small_project import PROJECT
from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.check import check_staged
from sovereign_ml.deploy.packing import ignore_patterns, is_ignored, pack
from sovereign_ml.supply_chain.lockfile import library_pin, parse_lock


def tree(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_staged_folder_passes_its_own_check(staged):
    assert check_staged(staged.folder) == []


def test_it_holds_exactly_the_expected_files(staged, wheel):
    bundle = ("bundle", "card", "contract", "model", "policy", "rules")
    assert {name for name, _ in staged.files} == {
        ".sotaignore",
        "Dockerfile",
        "app/bundle/card.html",
        *(f"app/bundle/{name}.json" for name in bundle),
        "app/sbom.cdx.json",
        "app/serve.lock",
        "app/serve/service.py",
        f"app/wheels/{wheel.name}",
    }


def test_the_image_s_user_reads_what_a_strict_umask_staged(make_stage):
    before = os.umask(0o077)
    try:
        folder = make_stage().folder
    finally:
        os.umask(before)
    modes = {
        oct(path.stat().st_mode & 0o777): path.is_dir() for path in (folder, *folder.rglob("*"))
    }
    assert modes == {"0o755": True, "0o644": False}


def test_staging_twice_gives_the_same_bytes(make_stage, tmp_path):
    first, second = make_stage(out=tmp_path / "a"), make_stage(out=tmp_path / "b")
    assert tree(first.folder) == tree(second.folder)
    assert pack(first.folder) == pack(second.folder)


def test_staging_again_leaves_nothing_of_the_last_time(make_stage, staged):
    (staged.folder / "app" / "stray.csv").write_text("a,b\n")
    assert not (make_stage().folder / "app" / "stray.csv").exists()


@pytest.mark.parametrize("image", ["", "python:3.12-slim", "registry.example.eu/python@sha256:abc"])
def test_a_base_image_without_a_digest_is_refused(make_stage, image):
    with pytest.raises(ValueError, match="an image with a digest is needed"):
        make_stage(base_image=image)


def test_a_bundle_changed_after_sealing_is_refused(make_stage, bundle):
    (bundle / "model.json").write_text("{}")
    with pytest.raises(DeployError, match="changed after the bundle was sealed"):
        make_stage()


def test_a_lock_without_hashes_is_refused(make_stage, tmp_path):
    lock = tmp_path / "serve.lock"
    lock.write_text("numpy==2.5.5\n" + lock.read_text())
    with pytest.raises(ValueError, match="without a hash: numpy"):
        make_stage()


@pytest.mark.parametrize("change", ["another wheel", "no wheel", "no pin"])
def test_a_vendor_folder_without_the_wheel_of_the_lock_is_refused(
    make_stage, tmp_path, wheel, change
):
    vendor, lock = tmp_path / "vendor", tmp_path / "serve.lock"
    vendor.mkdir()
    if change == "another wheel":
        (vendor / wheel.name).write_bytes(wheel.read_bytes() + b"\0")
    if change == "no pin":
        lock.write_text(LOCK)
    message = "does not name sovereign-ml" if change == "no pin" else "holds no wheel of sovereign"
    with pytest.raises(ValueError, match=message):
        make_stage(vendor=vendor)


def test_the_dockerfile_is_the_template_with_the_image(staged):
    template = (PROJECT / "deploy" / "Dockerfile").read_text()
    assert (staged.folder / "Dockerfile").read_text() == template.replace(
        "@BASE_IMAGE@", BASE_IMAGE
    )


def test_the_image_s_bill_of_materials_is_of_its_lock_and_of_the_bundle_s_time(staged):
    bill = json.loads((staged.folder / "app/sbom.cdx.json").read_text())
    lock = (staged.folder / "app/serve.lock").read_text()
    assert {(item["name"], item["version"]) for item in bill["components"]} == {
        (pin.name, pin.version) for pin in parse_lock(lock, "serve.lock")
    }
    (library,) = [item for item in bill["components"] if item["name"] == "sovereign-ml"]
    (digest,) = library["externalReferences"][0]["hashes"]
    assert (digest["content"],) == library_pin(lock).hashes
    manifest = json.loads((staged.folder / "app/bundle/bundle.json").read_text())
    assert bill["metadata"]["timestamp"] == manifest["created_at"]


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("data/", "data", True),
        ("data/", "data/x.bin", True),
        ("data/", "sub/data", False),
        ("data/", "database", False),
        ("*.egg-info/", "a.egg-info", False),
        ("cache", "a/cache/b", True),
        ("cache", "a/cached", False),
        ("*.pyc", "a/b.pyc", True),
        ("a/*.pyc", "a/b/c.pyc", False),
        ("a/**", "a/b", True),
        ("a/**", "a/b/c", False),
        ("/root.txt", "root.txt", False),
        ("!keep.pyc", "keep.pyc", False),
    ],
)
def test_the_ignore_rules_are_the_clients_not_gitignores(pattern, path, ignored):
    assert is_ignored(path, (pattern,)) is ignored


def test_sotaignore_replaces_gitignore(tmp_path):
    (tmp_path / ".gitignore").write_text("secret.txt\n")
    assert "secret.txt" in ignore_patterns(tmp_path)
    (tmp_path / ".sotaignore").write_text("# a comment\n\n*.pyc\n")
    assert ignore_patterns(tmp_path)[-1] == "*.pyc"
    assert "secret.txt" not in ignore_patterns(tmp_path)


def test_the_archive_names_files_as_the_client_does_and_leaves_out_the_link(staged):
    (staged.folder / ".sota.json").write_text("{}")
    with tarfile.open(fileobj=io.BytesIO(pack(staged.folder)), mode="r:gz") as tar:
        names = tar.getnames()
    assert {"Dockerfile", "app", "app/serve/service.py"} <= set(names)
    assert ".sota.json" not in names
