"""A build starts empty; all else that setuptools needs to know is in pyproject.toml."""

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class FreshBuild(build_py):
    """setuptools copies into build/lib and packs all that is there, also modules that the tree no longer has."""

    def run(self) -> None:
        """Remove what is there, but for an editable install, which copies nothing."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": FreshBuild})
