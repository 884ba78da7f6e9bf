"""Services for the tests: one that a module shares, and those that a test starts for itself."""
import contextlib
import os

import pytest

from service import Service


@pytest.fixture(scope="module")
def service(cjudge, tmp_path_factory):
    with Service(cjudge, "-parallelism", 2, folder=str(tmp_path_factory.mktemp("serve"))) as started:
        yield started
        assert started.process.poll() is None, started.log_text()


@pytest.fixture
def serve(cjudge, tmp_path):
    """Starts services of a test's own."""
    with contextlib.ExitStack() as stack:
        def start(*options, folder=None, **kwargs):
            if folder is None:
                folder = tmp_path / f"serve-{len(os.listdir(tmp_path))}"
                folder.mkdir()
            return stack.enter_context(Service(cjudge, *options, folder=str(folder), **kwargs))
        yield start
