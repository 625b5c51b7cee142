"""What kind of function an operation is of the values that depend on the point: element-wise, linear, a maximum, a choice.

An operation that is not named here is a smooth function of some values, of which no more is known.
"""

from pellucid.engine.memory import Value
from pellucid.engine.tape import Call
from pellucid.engine.transposes import FACTORS


def _names(text: str) -> frozenset[str]:
    return frozenset(f"aten.{name}" for name in text.split())


_CURVES = _names(
    "relu hardtanh leaky_relu elu celu selu gelu silu mish sigmoid tanh hardswish hardsigmoid softplus threshold clamp "
    "clamp_min clamp_max log_sigmoid_forward _prelu_kernel rrelu_with_noise hardshrink softshrink exp exp2 expm1 log "
    "log2 log10 log1p sqrt rsqrt reciprocal pow abs sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc "
    "sinc logit floor ceil round trunc frac sign maximum minimum fmax fmin"
)
_COPIES = _names("relu hardtanh threshold clamp clamp_min clamp_max maximum minimum fmax fmin abs")
_GATES = _names("mul div where masked_fill index_put")
_MINIMA = _names("min amin minimum fmin")
_MAXIMA = _names(
    "max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d max amax maximum fmax"
)
_CHOICES = _names("where masked_fill gather take index index_select")
_BATCH_NORMS = _names("native_batch_norm cudnn_batch_norm miopen_batch_norm")
_SUMS = _names(
    "add sub rsub neg sum mean cumsum cat stack clone _to_copy copy lift_fresh_copy zero fill avg_pool1d avg_pool2d "
    "avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d unsafe_split unsafe_split_with_sizes pixel_shuffle "
    "pixel_unshuffle channel_shuffle im2col col2im flip roll rot90 repeat tril triu where masked_fill masked_select "
    "gather take index index_select index_put index_add index_copy index_fill scatter scatter_add masked_scatter "
    "slice_scatter select_scatter diagonal_scatter constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d "
    "upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
    "_fft_r2c _fft_c2r _fft_c2c"
)


def is_curve(call: Call) -> bool:
    """Whether each output is a function of one element of the one input, with constants beside it."""
    inverse = call.name == "aten.div" and call.inputs[0] is not call.args[0] and not call.kwargs
    return len(call.inputs) == 1 and (call.name in _CURVES or inverse)


def copies(call: Call) -> bool:
    """Whether each output of a curve is an input or a constant, or minus one, so that differences of outputs are exact."""
    return call.name in _COPIES


def is_gate(call: Call) -> bool:
    """Whether each output comes from one element of the one input, and a constant, such as a mask, decides how."""
    overwriting = call.name == "aten.index_put" and call.inputs[0] is not call.args[0]
    return call.name in _GATES and len(call.inputs) == 1 and not overwriting


def is_minimum(call: Call) -> bool:
    """Whether each output is the smallest of some values."""
    return call.name in _MINIMA


def is_extremum(call: Call) -> bool:
    """Whether each output is the largest of some values, or the smallest."""
    return call.name in _MAXIMA or is_minimum(call)


def chooses(call: Call) -> bool:
    """Whether each output is one of some values, and a constant, a mask or an index, decides which."""
    return call.name in _CHOICES


def is_linear(call: Call) -> bool:
    """Whether the derivative is the same whatever the values are that depend on the point."""
    return is_bilinear(call) and sum(map(_depends, _factors(call))) < 2


def is_bilinear(call: Call) -> bool:
    """Whether the operation is linear, or linear in each of two factors, so that its derivative is."""
    if call.name in _BATCH_NORMS:
        return call.inputs == [call.args[0]] and not call.args[5]  # which is with the statistics of the batch
    if call.name == "aten.div":
        return not _depends(call.args[1]) and not call.kwargs
    return bool(_factors(call)) or (call.name in _SUMS and "reduce" not in call.kwargs)


def _factors(call: Call) -> tuple[object, ...]:
    places = (0, 1) if call.name == "aten.mul" else FACTORS.get(call.name, ())
    return tuple(call.args[place] for place in places)


def _depends(argument: object) -> bool:
    return isinstance(argument, Value) and argument.depends
