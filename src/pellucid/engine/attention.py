"""Attention as it happens in one pass: its matrices, the tokens it mixes, and which token each element of the input feeds.

An attention is a softmax over keys that multiplies values; it is found where that happens, whatever code asks for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.memory import Memory
from pellucid.engine.tape import Call, Tape

_SOFTMAXES = frozenset({"aten._softmax", "aten._safe_softmax"})
_COPIES = frozenset({"aten.clone", "aten._to_copy"})
# Matrix products, and the position of their first matrix among the arguments.
_PRODUCTS = {"aten.bmm": 0, "aten.mm": 0, "aten.baddbmm": 1, "aten.addmm": 1}
_SUMS_TO_ONE = 1e-3
# How far from 1 or 2 a ratio of gradients may lie by rounding, and what counts as no gradient beside the largest.
_ROUNDING, _NOTHING = 0.1, 1e-5


@dataclass(frozen=True)
class Attention:
    """One attention of one example: ``weights`` ``[heads, tokens, tokens]``, rows are queries and sum to 1.

    ``start`` and ``end`` are how many operations were on the tape before queries met keys, and after weights met values.
    """

    weights: Tensor
    place: str
    start: int
    end: int

    @property
    def tokens(self) -> int:
        """How many tokens it mixes."""
        return self.weights.shape[-1]


def attentions(tape: Tape) -> list[Attention]:
    """Every attention on the tape of one example, in order. Raises ``NotAnswerable`` for those that are no rollout's:
    between different tokens, or within windows."""
    softmaxes: dict[Memory, tuple[Call, int]] = {}
    found: dict[int, Attention] = {}
    scored = 0
    for number, call in enumerate(tape.calls):
        output = call.outputs[0]
        if output is None:
            continue
        if call.name in _SOFTMAXES and _over_last_axis(call):
            softmaxes[output.memory] = (call, min(scored, number))
        elif call.name in _COPIES and call.inputs[0].memory in softmaxes:
            softmaxes[output.memory] = softmaxes[call.inputs[0].memory]
        elif call.name in _PRODUCTS and len(call.inputs) > 1:
            first, second = call.args[_PRODUCTS[call.name]], call.args[_PRODUCTS[call.name] + 1]
            for weights, other, turned in ((first, second, False), (second, first, True)):
                if weights.memory in softmaxes and other.depends:
                    softmax, start = softmaxes[weights.memory]
                    matrix = weights.tensor().mT if turned else weights.tensor()
                    found[id(softmax)] = Attention(_weights(matrix, softmax), call.place, start, number + 1)
                    break
            else:
                scored = number
    lost = [call for call, _ in softmaxes.values() if id(call) not in found and _square(call)]
    if lost:
        raise NotAnswerable(f"what becomes of the attention weights of {lost[0]} cannot be followed; ask lrp")
    return list(found.values())


def check_same_tokens(layers: Sequence[Attention]) -> None:
    """Refuse attentions over different numbers of tokens: their product says nothing."""
    for layer in layers:
        if layer.tokens != layers[0].tokens:
            raise NotAnswerable(
                f"attention is over {layers[0].tokens} tokens in {layers[0].place!r} and over {layer.tokens} in "
                f"{layer.place!r}, so no way leads through all of them; ask at a layer between, or ask lrp"
            )


def tokens_before(tape: Tape, layer: Attention) -> str:
    """The last layer before an attention whose output is its tokens; ``"input"`` where these are the point itself."""
    names = [name for name, mark in tape.marks.items() if mark.position <= layer.start and _has(tape, name, layer)]
    if names:
        return names[-1]
    if len(tape.start.size) != 3 or tape.start.size[1] != layer.tokens:
        raise NotAnswerable(f"no layer returns the tokens that {layer.place!r} attends to; ask at a layer of tokens")
    return "input"


def tokens_after(tape: Tape, layer: Attention) -> str:
    """The first layer after an attention whose output is its tokens: every position's way to the score leads through
    it, or beside it as a residual."""
    names = [name for name, mark in tape.marks.items() if mark.position >= layer.end and _has(tape, name, layer)]
    if not names:
        raise NotAnswerable(f"no layer returns the tokens behind {layer.place!r}, so what the score reads is not known")
    return names[0]


def check_tokens_at(tape: Tape, name: str, layer: Attention) -> None:
    """Refuse a layer whose output is not ``[example, tokens, …]`` with the tokens of this attention."""
    mark = tape.marks.get(name)
    if mark is None:
        raise UsageError(f"no layer {name!r} was called; {nearest(name, [known for known in tape.marks if known])}")
    if mark.place is None or mark.place.size[:2] != (1, layer.tokens):
        size = "no tensor" if mark.place is None else str(mark.place.size[1:])
        raise NotAnswerable(
            f"layer {name!r} returns {size}, not {layer.tokens} tokens; ask at the input or at a layer of tokens"
        )


def fed_tokens(subject: Subject, inputs: Inputs, layer: str, tokens: int) -> Tensor:
    """For each element of the point of one example the number of the token in ``layer`` that it feeds, −1 for none.

    Where the ``layer`` is the input itself, tokens are its positions. Elsewhere the tokens are weighted by 1 or 2, bit by
    bit of their number: by this factor the gradient at an element grows, if the element feeds one token alone. Raises
    ``NotAnswerable`` where some feed several.
    """
    if layer == "input":
        return torch.arange(tokens)[:, None].expand(inputs.value.shape[1:])
    with torch.enable_grad():
        point = inputs.value.detach().clone().requires_grad_()
        states = subject.run(inputs.at(point), capture=(layer,), differentiable=True).activations[layer]
        # Two random sums over the channels: an element to which one is blind by chance is seen by the other.
        width = states.numel() // tokens
        directions = torch.randn(width, 2, generator=torch.Generator().manual_seed(0)).to(states)
        amounts = states.reshape(tokens, width) @ directions

        def gradient(weights: Tensor) -> Tensor:
            sums = (amounts * weights.to(amounts)[:, None]).sum(0)
            found = [torch.autograd.grad(one, point, retain_graph=True)[0][0] for one in sums]
            return torch.stack(found).cpu().double()

        plain = gradient(torch.ones(tokens))
        clearer = plain.abs().argmax(0, keepdim=True)
        plain = plain.gather(0, clearer)[0]
        read = plain.abs() > _NOTHING * plain.abs().max()
        numbers, found = torch.arange(tokens), torch.zeros(plain.shape, dtype=torch.long)
        for bit in range((tokens - 1).bit_length()):
            grown = gradient(1 + (numbers >> bit) % 2).gather(0, clearer)[0]
            ratio = torch.where(read, grown / plain, 1)
            if bool(((ratio - ratio.round()).abs() > _ROUNDING).any()):
                raise NotAnswerable("an element of the input feeds several tokens; ask at a layer of tokens")
            found += (ratio.round().long() - 1) << bit
    meter.count(backward=1)
    return torch.where(read, found, -1)


def _over_last_axis(softmax: Call) -> bool:
    return softmax.args[1] in (-1, len(softmax.args[0].size) - 1)


def _square(softmax: Call) -> bool:
    output = softmax.outputs[0]
    return output is not None and output.size[-1] == output.size[-2] > 1


def _weights(weights: Tensor, softmax: Call) -> Tensor:
    output = softmax.outputs[0]
    assert output is not None
    if weights.shape[-2] != weights.shape[-1]:
        raise NotAnswerable(
            f"{softmax} attends from {weights.shape[-2]} tokens to {weights.shape[-1]} others, which is no mixture of the "
            "same tokens; ask lrp"
        )
    if sum(size > 1 for size in output.size[:-2]) > 1:
        raise NotAnswerable(f"{softmax} attends within windows, not from every token to every token; ask lrp")
    found = weights.detach().cpu().double().reshape(-1, *weights.shape[-2:]).clone()
    if bool(((found.sum(-1) - 1).abs() > _SUMS_TO_ONE).any()):
        raise NotAnswerable(
            f"the rows of attention weights of {softmax} do not sum to 1 where they meet the values; ask lrp"
        )
    return found


def _has(tape: Tape, name: str, layer: Attention) -> bool:
    """Whether a layer's output is ``[tokens, channels]`` beside axes of one element."""
    place = tape.marks[name].place
    return (
        bool(name)
        and place is not None
        and [size for size in place.size if size > 1][:1] == [layer.tokens]
        and (sum(size > 1 for size in place.size) == 2)
    )
