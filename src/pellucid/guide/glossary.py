"""The words of the field, and whose meaning of them is used here: different authors mean different things."""

from dataclasses import dataclass

from pellucid.core.errors import UsageError, nearest


@dataclass(frozen=True)
class Term:
    """A word as Pellucid means it. ``after`` names who means it so; ``elsewhere`` warns of other meanings."""

    word: str
    meaning: str
    after: str
    elsewhere: str = ""


GLOSSARY = (
    Term(
        "interpretability",
        "How well a given person can come to understand a model or its decisions, for a purpose. The roof "
        "over everything here: it depends on who asks and what for, so no number measures it alone.",
        "Lipton 2016, as a roof over several different notions; Chakraborty et al. 2017",
        "Montavon et al. 2018 use it for abstract concepts put in terms people can follow; many use it as "
        "another word for explainability.",
    ),
    Term(
        "explainability",
        "The scope of methods that give reasons for what a model did, after the fact, without making the "
        "model itself simpler: heat maps, contrasts, examples, sentences.",
        "Lipton 2016, who calls it post-hoc interpretability; Chakraborty et al. 2017, who call it model functionality",
        "Montavon et al. 2018 call an explanation the collection of features that contributed to one decision.",
    ),
    Term(
        "transparency",
        "The scope of methods that open the model itself: what it computes, how it was trained, what follows "
        "from its form. The opposite of a black box.",
        "Lipton 2016, with its three levels: simulatability, decomposability, algorithmic transparency",
        "In law and public debate it means disclosure: who uses which model on whom.",
    ),
    Term(
        "translatability",
        "The scope of methods that say what a model holds inside in terms a person already has: concepts, "
        "words, pictures, rules.",
        "the map of Graziani, as we read it",
        "Linguistics and program verification use the word for other things.",
    ),
    Term(
        "decomposability",
        "The scope of methods that take a model or a decision apart so that each part (input, unit, layer, "
        "weight) has a meaning of its own.",
        "Lipton 2016; as a scope, the map of Graziani, as we read it",
        "As a dimension it is narrower: each part of the model itself admits an intuitive account.",
    ),
    Term(
        "simulatability",
        "Whether a person can go through the model's whole calculation, with the input, in reasonable time. "
        "It ends at small models, whatever their kind.",
        "Lipton 2016",
        "Forward simulation is the related test on people: can they predict what the model will say?",
    ),
    Term(
        "algorithmic transparency",
        "Whether the training is understood: what it converges to and why. Deep networks do not have it; what"
        " can be watched are the phases and single steps of their training.",
        "Lipton 2016",
        "In public policy: the disclosure of how automated decisions are made.",
    ),
    Term(
        "textual explanation",
        "The dimension of answers in sentences: justifications, captions, rationales taken from the text.",
        "Lipton 2016, text explanations",
        "A fluent sentence can be right about the picture and wrong about the model.",
    ),
    Term(
        "visual explanation",
        "The dimension of answers one looks at: heat maps, images of units, projections.",
        "Lipton 2016, visualisation",
    ),
    Term(
        "local explanation",
        "The dimension of answers about one decision, or about its neighbourhood. What is true here need not "
        "be true elsewhere.",
        "Lipton 2016; Ribeiro et al. 2016",
        "Local also means near in the input space, which a heat map of one input is not about.",
    ),
    Term(
        "explanation by example",
        "The dimension of answers that show cases: the training cases that made it so, the most similar ones,"
        " prototypes.",
        "Lipton 2016",
    ),
    Term(
        "faithfulness",
        "Whether an explanation says what the model does, rather than what people find convincing. Measured "
        "by intervening on the model or its input, against controls that know nothing.",
        "Samek et al. 2017 for heat maps; Jacovi & Goldberg 2020 for the distinction",
        "Also called fidelity; for surrogates fidelity is the agreement of the two models' outputs, which is "
        "not the same.",
    ),
    Term(
        "plausibility",
        "Whether an explanation looks right to people. It says nothing about faithfulness: an edge detector "
        "is plausible.",
        "Jacovi & Goldberg 2020",
    ),
    Term(
        "completeness",
        "Scores that add up to the score they explain, less what a named residual holds. It is book-keeping, "
        "not proof: errors that cancel add up too.",
        "Sundararajan et al. 2017; Bach et al. 2015 call the same conservation",
        "In Gilpin et al. 2018 a complete explanation is one that describes the operation of the system accurately.",
    ),
    Term(
        "relevance",
        "A share of the score that is assigned to an input or a unit; positive speaks for the target, "
        "negative against it.",
        "Bach et al. 2015",
        "Sensitivity is another thing: what would change the score, not what makes it up.",
    ),
    Term(
        "sensitivity",
        "How fast the score would change if an input changed a little: the gradient.",
        "Simonyan et al. 2014; Montavon et al. 2018 for the contrast with relevance",
        "Sundararajan et al. 2017 call two axioms of attribution methods by this name.",
    ),
    Term(
        "contrast",
        "Why this rather than that: the difference between the scores of the target and of a foil is explained.",
        "Miller 2019",
        "A counterfactual is something else: the smallest change of the input that changes the decision.",
    ),
)


def term(word: str) -> Term:
    """The entry of a word; ``UsageError`` with the nearest words where there is none."""
    known = {entry.word: entry for entry in GLOSSARY}
    folded = word.strip().casefold().replace("-", " ")
    if folded not in known:
        raise UsageError(f"the glossary has no word {word!r}; {nearest(folded, known)}")
    return known[folded]
