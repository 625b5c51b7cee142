"""Where a module runs."""

from typing import Any, TypeVar

from torch import nn

from pellucid.core.errors import UsageError

M = TypeVar("M", bound=nn.Module)


def moved(module: M, device: Any) -> M:
    """The module, moved to the device that its owner wants; a device that this machine does not have is refused."""
    if device is None:
        return module
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:  # Torch asserts that it was built for a kind of device.
        reason = (str(error).splitlines() or [""])[0]
        raise UsageError(f"there is no device {str(device)!r} to run on ({reason}); use 'cpu'") from error
