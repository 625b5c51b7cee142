"""Lines of a profile from what was measured of every example."""

from torch import Tensor

from pellucid.engine.standing import mean_intervals
from pellucid.results.profile import Line


def line(name: str, values: Tensor, control: bool = False) -> Line:
    """The mean of ``values`` ``[places, examples]`` at each place, with its 95 % interval over the examples, bootstrapped; of
    a single example there is none."""
    mean, low, high = mean_intervals(values.double(), seed=0).unbind(1)
    if values.shape[1] < 2:
        return Line(name=name, mean=mean, control=control)
    return Line(name=name, mean=mean, low=low, high=high, control=control)
