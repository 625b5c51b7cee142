"""What does a network go by when it reads reviews? A few sentences that together show it, picked from hundreds.

    python -m examples.what_reviews_go_by --reviews yelp_labelled.txt --page what-reviews-go-by.html

The file has a sentence and its label, 0 or 1, per line, with a tab between them (the sentiment labelled sentences of
kotzias2015group). The network is ``minilm-sentiment``, which has learned from reviews of films and not of restaurants.
"""

import argparse
from pathlib import Path

import torch

import pellucid as pl
from pellucid.methods import Lime, SpLime


def read(path: Path, number: int) -> tuple[list[str], list[int]]:
    """The first sentences of a file, and their labels."""
    lines = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:number]
    return [text.strip() for text, _ in lines], [int(label) for _, label in lines]


def picks(sentences: list[str], budget: int, samples: int) -> pl.Picks:
    """What speaks for ``positive`` in these sentences, and the few that show it."""
    method = SpLime(budget=budget, explain=Lime(samples=samples, keep=4))
    answer = method(pl.load("minilm-sentiment"), pl.Population(sentences, target="positive"))
    assert isinstance(answer, pl.Picks)
    return answer


def right(sentences: list[str], labels: list[int]) -> float:
    """The share of sentences that the network gives the label that people gave."""
    subject = pl.load("minilm-sentiment")
    positive = list(subject.task.labels or ()).index("positive")
    chosen = torch.cat([subject.scores(sentences[start : start + 32]).argmax(1) for start in range(0, len(labels), 32)])
    return float(((chosen == positive) == torch.tensor(labels).bool()).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=Path, required=True, help="the file of sentences and labels")
    parser.add_argument("--sentences", type=int, default=600, help="how many of them, from the top")
    parser.add_argument("--budget", type=int, default=8, help="how many sentences to pick")
    parser.add_argument("--samples", type=int, default=200, help="rows that LIME draws around each sentence, at most")
    parser.add_argument("--page", type=Path, default=Path("what-reviews-go-by.html"), help="where the page goes")
    parser.add_argument("--save", type=Path, help="where the result goes, as a .pellucid file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sentences, labels = read(arguments.reviews, arguments.sentences)
    found = picks(sentences, arguments.budget, arguments.samples)
    print(f"{len(sentences)} sentences, {right(sentences, labels):.1%} of them right.\n{found.summary()}")
    print(f"Cost: {found.evaluations['F']} forward passes, {found.provenance.cost['cpu_seconds']:.0f} CPU-seconds.")
    for row in found.table():
        print(f"{row['rank']}. {sentences[row['case']]}\n   {row['strongest']} (covered {row['covered']:.0%})")
    arguments.page.write_text(found._repr_html_(), encoding="utf-8")
    if arguments.save:
        found.save(arguments.save)


if __name__ == "__main__":
    main()
