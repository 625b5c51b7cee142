"""Attention rollout: how much of each input token is in the tokens that the score reads, by attention alone."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, Structure, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attention import (
    Attention,
    attentions,
    check_same_tokens,
    check_tokens_at,
    fed_tokens,
    tokens_after,
    tokens_before,
)
from pellucid.engine.attributing import attribution
from pellucid.engine.gradients import gradients
from pellucid.engine.taping import taped
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution


@method
class AttentionRollout:
    """Scores are the shares of the input tokens in the last layer's tokens, if attention alone moved content.

    Every layer mixes tokens by Ã = ``residual`` · I + (1 − ``residual``) · A, where A are its attention weights over all
    ``heads``; the product of these matrices over the layers says how much of each input token is in each output token
    (abnar2020quantifying). The score reads the output tokens in proportion to the size of its gradient at them: a class
    token alone, or all of them where they are averaged; ``quality["positions read"]`` says how many that are. ``discard``
    drops that share of the weakest weights of each layer.

    A token's share is divided evenly over the elements of the input that feed it, such as the pixels of a patch; shares sum
    to 1, of which ``quality["other tokens"]`` is what falls to tokens that no element feeds, such as a class token.
    """

    spec: ClassVar = Spec(
        id="attention-rollout",
        title="Attention rollout",
        question="From which tokens could the score have its content, if attention alone moved it?",
        scopes={Scope.EXPLAINABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.WEIGHTS, Access.GRADIENTS, Access.ACTIVATIONS, Structure.ATTENTION},
        points={Point.INPUT, Point.LAYER},
        properties={"class-blind"},
        cost="1 F and 2 B",
        references=("abnar2020quantifying",),
        serves=("A9",),
        caveat=(
            "Attention is not explanation: values, signs and everything between the attentions are left out, and every "
            "class gets nearly the same map."
        ),
        alternatives=("lrp", "integrated-gradients", "occlusion"),
    )

    residual: Annotated[float, Ge(0), Lt(1), "share of a token that stays where it is in each layer"] = 0.5
    heads: Annotated[Literal["mean", "max", "min"], "how the heads of a layer are taken together"] = "mean"
    discard: Annotated[float, Ge(0), Lt(1), "share of each layer's weakest weights that is dropped"] = 0.0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        if query.foil is not None:
            raise NotAnswerable(
                "attention says where content comes from, not which class it speaks for: it knows no foil; ask "
                "lrp or integrated-gradients with one, or leave it out"
            )
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        found = []
        for row in range(len(inputs)):
            one = slice(row, row + 1)
            found.append(self._one(subject, inputs.rows(one), target.rows(one), query.at))
            report(row + 1, len(inputs), "attention rollout")
        scores, values, read, others = zip(*found, strict=True)
        reads, quality = torch.tensor(read), torch.tensor(others)
        answer = attribution(
            subject,
            inputs,
            query,
            target,
            torch.stack(scores),
            torch.cat(values),
            quality={"positions read": reads, "other tokens": quality},
        )
        return dataclasses.replace(answer, notes=(*answer.notes, _told(reads)))

    def _one(self, subject: Subject, inputs: Inputs, target: Target, at: str) -> tuple[Tensor, Tensor, float, float]:
        """Scores and value of one example, the positions that its score reads, and the share of tokens without input."""
        with taped(subject, inputs) as (tape, _):
            layers = attentions(tape)
            if at != "input" and at in tape.marks:
                layers = [layer for layer in layers if layer.start >= tape.marks[at].position]
            if not layers:
                raise NotAnswerable(
                    f"there is no attention between {at!r} and the score; ask lrp or integrated-gradients"
                )
            check_same_tokens(layers)
            if at != "input":
                check_tokens_at(tape, at, layers[0])
            entrance, exit = tokens_before(tape, layers[0]), tokens_after(tape, layers[-1])
        tokens = layers[0].tokens
        real = torch.ones(tokens, dtype=torch.bool)
        if inputs.mask is not None and inputs.mask.shape[1] == tokens:
            real = inputs.mask[0]
        last = gradients(subject, inputs, target, exit)
        reading = last.gradient.double().reshape(tokens, -1).norm(dim=1) * real
        if not bool(reading.any()):
            raise NotAnswerable("the score reads no token behind the last attention; ask lrp or integrated-gradients")
        shares = torch.zeros(tokens, dtype=torch.float64)
        shares[real] = self._rolled_out(layers, real, (reading / reading.sum())[real])
        positions = float(reading.sum() ** 2 / reading.square().sum())
        if at == "input":
            fed, like = fed_tokens(subject, inputs, entrance, tokens), inputs.value[0]
        else:
            like = subject.run(inputs, capture=(at,)).activations[at][0].cpu()
            fed = torch.arange(tokens).view(-1, *[1] * (like.ndim - 1)).expand(like.shape)
        sizes = torch.bincount(fed[fed >= 0], minlength=tokens)
        scores = torch.where(fed >= 0, (shares / sizes.clamp(min=1))[fed.clamp(min=0)], 0)
        kind = like.dtype if like.dtype == torch.float64 else torch.float32
        return scores.to(kind), last.values, positions, float(shares[sizes == 0].sum())

    def _rolled_out(self, layers: list[Attention], real: Tensor, reading: Tensor) -> Tensor:
        """The share of each real token, from the last layer back to the first."""
        for layer in reversed(layers):
            weights = layer.weights[:, real][:, :, real]
            mixing = weights.mean(0) if self.heads == "mean" else getattr(weights, f"a{self.heads}")(0)
            dropped = int(self.discard * mixing.numel())
            mixing.view(-1)[mixing.flatten().argsort(stable=True)[:dropped]] = 0
            stays = torch.eye(len(mixing), dtype=mixing.dtype)
            mixing = self.residual * stays + (1 - self.residual) * mixing
            total = mixing.sum(1, keepdim=True)
            reading = reading @ torch.where(total > 0, mixing / total, stays)
        return reading


def _told(positions: Tensor) -> str:
    if bool((positions < 1.001).all()):
        return "The score reads one position of the last layer alone."
    return (
        "The score reads several positions of the last layer, each weighted by how much it changes with that position."
    )
