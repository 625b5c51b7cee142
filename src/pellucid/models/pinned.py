"""Files that other installed packages carry, found without running a line of those packages and pinned by digest."""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.core.errors import BadInput, MissingExtra


@dataclass(frozen=True)
class PinnedFile:
    """One file inside an installed package, and the SHA-256 digest without which it is not used.

    The digest is what makes a weight file safe to parse: nothing is unpickled or built before it is known to be the
    file that was examined.
    """

    package: str
    parts: tuple[str, ...]
    sha256: str
    install: str

    def path(self) -> Path:
        """Where the file lies. Raises MissingExtra when the package is absent, BadInput when only the file is."""
        return package_file(self.package, self.parts, self.install)

    def read(self) -> bytes:
        """The content, checked: the bytes that were hashed are the bytes that are returned.

        Raises BadInput with the expected and the found digest when the file is not the pinned one.
        """
        path = self.path()
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise BadInput(
                f"{path} is not the file that {self.package} is known by: expected SHA-256 {self.sha256}, "
                f"found {found}; reinstall it: {self.install} --force-reinstall"
            )
        return content


def package_file(package: str, parts: Sequence[str], install: str) -> Path:
    """The path of a file in an installed package; looking it up does not import the package.

    Raises MissingExtra with the command ``install`` when the package is absent, BadInput when only the file is.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(f"the package {package} is not installed: {install}")
    path = Path(found.submodule_search_locations[0]).joinpath(*parts)
    if not path.is_file():
        raise BadInput(f"{path} is missing from the installed package: {install} --force-reinstall")
    return path
