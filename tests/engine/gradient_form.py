"""LRP-0 without a tape: the input times a gradient in which some steps have another derivative (montavon2019layerwise).

Relevance divided by activation obeys the chain rule, so each rule is a derivative. A linear map keeps its own. An
activation gets f(x)/x. Of two factors that both depend on the input each gets half, but a gate counts as a constant, and
so does a normalisation's deviation; a softmax keeps its derivative (arras2017explaining, achtibat2024attnlrp). It is
calculated by torch's autograd on functions that stand in for torch's: nothing here is shared with the engine.
"""

import copy
import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def gradient_form(model, point, seed):
    """The relevance of ``point`` for ``seed``, which holds explained scores at their places and zeros elsewhere."""
    model = copy.deepcopy(model).requires_grad_(False)
    point = point.detach().clone().requires_grad_()
    with Derivatives():
        scores = model(point)
    share = torch.where(seed == 0, torch.zeros_like(seed), seed / scores.detach())
    (found,) = torch.autograd.grad(scores, point, share)
    return (point * found).detach()


class Derivatives(TorchFunctionMode):
    """Inside, torch computes the same values with the derivatives of relevance."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        stand_in = STAND_INS.get(func, func)
        return stand_in(*args, **(kwargs or {}))


def depends(value):
    return isinstance(value, Tensor) and value.requires_grad


def secant(function):
    """f(x) = x · f(x)/x with the quotient held fixed."""

    def activation(x, *args, inplace=False, **kwargs):
        with torch.no_grad():
            value = function(x, *args, **kwargs)
            factor = torch.where(x == 0, torch.zeros_like(x), value / x)
            constant = torch.where(x == 0, value, torch.zeros_like(x))
        return x * factor + constant

    return activation


def halved(function):
    """Each of the factors gets half of the derivative if all of two depend on the point."""

    def product(*args, **kwargs):
        args = list(args)
        places = [place for place, value in enumerate(args) if depends(value)]
        if len(places) == 2:
            for place in places:
                args[place] = args[place] / 2 + args[place].detach() / 2
        return function(*args, **kwargs)

    return product


def normalised(x, axes, eps, centred=True):
    """(x − mean) / deviation, the deviation held fixed."""
    centre = x.mean(axes, keepdim=True) if centred else 0
    spread = ((x - centre) ** 2).mean(axes, keepdim=True).detach()
    return (x - centre) / (spread + eps).sqrt()


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(-len(normalized_shape), 0))
    return affine(normalised(x, axes, eps), weight, bias)


def rms_norm(x, normalized_shape, weight=None, eps=None):
    axes = tuple(range(-len(normalized_shape), 0))
    return affine(normalised(x, axes, torch.finfo(x.dtype).eps if eps is None else eps, centred=False), weight, None)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    grouped = x.reshape(x.shape[0], num_groups, -1)
    found = normalised(grouped, (2,), eps).reshape(x.shape)
    shape = (1, -1, *[1] * (x.ndim - 2))
    return affine(found, *(None if part is None else part.reshape(shape) for part in (weight, bias)))


def affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    found = matmul(query * scale, key.transpose(-2, -1))
    if is_causal:
        attn_mask = torch.ones(found.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        found = found.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        found = found + attn_mask
    return matmul(found.softmax(-1), value)


def multi_head_attention(query, key, value, width, heads, weight, bias, _k, _v, _zero, dropout, out, out_bias, **more):
    """The published equations; ``weight`` holds the three maps one after the other unless they come apart."""
    weights = weight.chunk(3) if weight is not None else [more[f"{name}_proj_weight"] for name in "qkv"]
    parts = [
        functional.linear(given, matrix, offset).unflatten(-1, (heads, -1)).movedim(0, -2)
        for given, matrix, offset in zip((query, key, value), weights, bias.chunk(3), strict=True)
    ]
    mask, padding = more.get("attn_mask"), more.get("key_padding_mask")
    if padding is not None:
        padding = padding[:, None, None] if padding.is_floating_point() else as_numbers(padding, query)[:, None, None]
        mask = padding if mask is None else mask + padding
    mixed = attention(*parts, attn_mask=mask).movedim(-2, 0).flatten(-2)
    return functional.linear(mixed, out, out_bias), None


def as_numbers(padding, like):
    return torch.zeros(padding.shape, dtype=like.dtype).masked_fill(padding, -math.inf)


def constant(function):
    """What is held fixed: gates, and what normalises."""

    def held(*args, inplace=False, **kwargs):
        return function(*args, **kwargs).detach()

    return held


def gated_linear_unit(x, dim=-1):
    signal, gate = x.chunk(2, dim)
    return signal * gate.sigmoid().detach()


def normalize(x, p=2.0, dim=1, eps=1e-12, out=None):
    return x / x.norm(p, dim, keepdim=True).clamp(min=eps).detach()


def instance_norm(x, weight=None, bias=None, eps=1e-5, **_):
    return group_norm(x, x.shape[1], weight, bias, eps)


def recurrence(step):
    """Every layer and direction of a recurrent network, time step by time step."""

    def unrolled(sequence, state, weights, bias, layers, dropout, training, both, batch_first):
        found = sequence.transpose(0, 1) if batch_first else sequence
        states = state if isinstance(state, tuple) else (state,)
        per = 4 if bias else 2
        ends = []
        for layer in range(layers):
            directions = []
            for way in range(1 + both):
                place = layer * (1 + both) + way
                matrices = weights[per * place : per * place + per]
                matrices = matrices if bias else (*matrices, torch.zeros(()), torch.zeros(()))
                now, outputs = tuple(part[place] for part in states), []
                for x in reversed(found) if way else found:
                    now = step(x, now, *matrices)
                    outputs.append(now[0])
                ends.append(now)
                directions.append(torch.stack(outputs[::-1] if way else outputs))
            found = torch.cat(directions, -1)
        return (
            found.transpose(0, 1) if batch_first else found,
            *(torch.stack(part) for part in zip(*ends, strict=True)),
        )

    return unrolled


def cell(step):
    """One time step on its own."""

    def once(x, state, *weights):
        now = step(x, state if isinstance(state, tuple) else (state,), *weights)
        return now if len(now) > 1 else now[0]

    return once


def lstm_step(x, state, weight, recurrent, bias, recurrent_bias):
    """Gates are constants: signals take all relevance of a product (arras2017explaining)."""
    before = functional.linear(x, weight) + functional.linear(state[0], recurrent) + bias + recurrent_bias
    entry, forget, candidate, output = before.chunk(4, -1)
    memory = forget.sigmoid().detach() * state[1] + entry.sigmoid().detach() * tanh(candidate)
    return output.sigmoid().detach() * tanh(memory), memory


def gru_step(x, state, weight, recurrent, bias, recurrent_bias):
    given = (functional.linear(x, weight) + bias).chunk(3, -1)
    kept = (functional.linear(state[0], recurrent) + recurrent_bias).chunk(3, -1)
    reset, update = (torch.sigmoid(given[place] + kept[place]).detach() for place in range(2))
    return ((1 - update) * tanh(given[2] + reset * kept[2]) + update * state[0],)


def rnn_step(x, state, weight, recurrent, bias, recurrent_bias):
    before = functional.linear(x, weight) + functional.linear(state[0], recurrent) + bias + recurrent_bias
    return (tanh(before),)


matmul, tanh = halved(torch.matmul), secant(torch.tanh)

STAND_INS = {
    functional.layer_norm: layer_norm,
    functional.group_norm: group_norm,
    functional.rms_norm: rms_norm,
    torch.rms_norm: rms_norm,
    functional.scaled_dot_product_attention: attention,
    functional.multi_head_attention_forward: multi_head_attention,
    torch.einsum: halved(torch.einsum),
    torch._VF.lstm: recurrence(lstm_step),
    torch._VF.gru: recurrence(gru_step),
    torch._VF.rnn_tanh: recurrence(rnn_step),
    torch._VF.lstm_cell: cell(lstm_step),
    torch._VF.gru_cell: cell(gru_step),
    torch._VF.rnn_tanh_cell: cell(rnn_step),
    torch.rsqrt: constant(torch.rsqrt),
    **{function: halved(function) for function in (torch.matmul, torch.Tensor.matmul, torch.bmm, torch.mul)},
    **{function: halved(function) for function in (torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__matmul__)},
    **{function: secant(function) for function in (functional.gelu, functional.silu, functional.hardswish, torch.tanh)},
    **{
        function: constant(function)
        for function in (
            functional.hardsigmoid,
            torch.sigmoid,
            torch.Tensor.sigmoid,
            torch.Tensor.var,
            torch.Tensor.std,
        )
    },
    functional.glu: gated_linear_unit,
    functional.normalize: normalize,
    functional.instance_norm: instance_norm,
    **{function: secant(torch.pow) for function in (torch.Tensor.pow, torch.Tensor.__pow__)},
    torch.Tensor.tanh: secant(torch.tanh),
    **{function: secant(function) for function in (functional.relu6, functional.hardtanh)},
}
