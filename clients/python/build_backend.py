"""Builds the wheel (PEP 517, PEP 427) with the standard library alone, so that pip installs this folder without a network."""
import base64
import hashlib
import io
import os
import tarfile
import zipfile

NAME, VERSION = "cjudge_client", "0.1.0"
MODULES = ("judge_client.py", "cjudge_client.py")
INFO = f"{NAME}-{VERSION}.dist-info"
WHEEL = f"{NAME}-{VERSION}-py3-none-any.whl"


def _metadata():
    with open("README.md", encoding="utf-8") as file:
        readme = file.read()
    return ("Metadata-Version: 2.1\nName: cjudge-client\nVersion: " + VERSION + "\n"
            "Summary: Client of cjudge's judging API; its classes are those of code-judge's judge_client\n"
            "License: MIT\nRequires-Python: >=3.9\nDescription-Content-Type: text/markdown\n\n" + readme)


def _info_files():
    return {f"{INFO}/METADATA": _metadata().encode(),
            f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: cjudge\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}


def _write_wheel(folder, files):
    def record(path, data):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return f"{path},sha256={digest},{len(data)}\n"

    files = {**files, **_info_files()}
    records = "".join(record(path, data) for path, data in files.items()) + f"{INFO}/RECORD,,\n"
    with zipfile.ZipFile(os.path.join(folder, WHEEL), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in {**files, f"{INFO}/RECORD": records.encode()}.items():
            wheel.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data)
    return WHEEL


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_sdist = get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.makedirs(os.path.join(metadata_directory, INFO), exist_ok=True)
    for path, data in _info_files().items():
        with open(os.path.join(metadata_directory, path), "wb") as file:
            file.write(data)
    return INFO


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _write_wheel(wheel_directory, {name: _read(name) for name in MODULES})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """A path file that names this folder (PEP 660)."""
    return _write_wheel(wheel_directory, {f"{NAME}.pth": (os.getcwd() + "\n").encode()})


def build_sdist(sdist_directory, config_settings=None):
    name = f"{NAME}-{VERSION}"
    with tarfile.open(os.path.join(sdist_directory, name + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path in (*MODULES, "README.md", "pyproject.toml", "build_backend.py"):
            archive.add(path, f"{name}/{path}")
        data = _metadata().encode()
        info = tarfile.TarInfo(f"{name}/PKG-INFO")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return name + ".tar.gz"
