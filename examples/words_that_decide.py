"""Which words decide? Word relevance put to two tests: delete the words it names, and compare it with people's judgement.

    python -m scripts.train_lstm_sentiment --trees FOLDER --into FILE
    python -m examples.words_that_decide --trees FOLDER --lstm FILE --page PAGE

Asked are an LSTM, which the first line trains in minutes, and a transformer (``minilm-sentiment``). FOLDER holds the
Stanford Sentiment Treebank (socher2013recursive), whose every word was judged by people. Words are deleted as in
arras2017explaining: where the network is right, those most relevant for the true label first, so that its score falls;
where it is wrong, those most relevant against it first, so that its score rises.

Each network is asked about sentences that are not neutral, have at least ten words and that it has not seen: the LSTM
about test sentences; the transformer about those of the whole treebank that the training of its head held out, because
most test sentences were among what it was trained on. Which these are is read from the ratings that
``scripts/train_minilm_sentiment.py`` fetches.
"""

import argparse
from pathlib import Path

import torch
from examples.words.evidence import Findings, gather, lstm
from examples.words.page import markdown, page, picture
from examples.words.trees import read_trees
from examples.words.unseen import among, apart_from, held_out_texts
from examples.words.worth import sentences
from scripts.train_minilm_sentiment import ratings

import pellucid as pl


def tell(folder: Path, network: Path, number: int = 0) -> list[Findings]:
    """What both networks have to say about ``number`` of the sentences, drawn at random; 0 is all of them."""
    parts = {part: read_trees(folder / f"{part}.txt") for part in ("train", "dev", "test")}
    for_lstm = apart_from(parts["test"], [tree.text for tree in parts["train"]])
    for_transformer = among([tree for trees in parts.values() for tree in trees], held_out_texts(ratings()))
    asked = ((lstm(network), for_lstm), (pl.load("minilm-sentiment"), for_transformer))
    return [gather(subject, sentences(trees, number), trees) for subject, trees in asked]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=Path, required=True, help="the folder with the treebank")
    parser.add_argument("--lstm", type=Path, required=True, help="what scripts.train_lstm_sentiment --trees wrote")
    parser.add_argument("--sentences", type=int, default=0, help="how many, drawn at random (0: all)")
    parser.add_argument("--page", type=Path, default=Path("words-that-decide.html"), help="where the page goes")
    parser.add_argument("--picture", type=Path, help="where the picture of the page goes too, as PNG")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = tell(arguments.trees, arguments.lstm, arguments.sentences)
    for one in found:
        share = one.curves["removed"].right.mean()
        print(f"## {one.name}\n\n{len(one.asked)} sentences, {share:.1%} of them right.\n")
        print("\n".join(markdown(table) for table in one.tables()))
    arguments.page.write_text(page(found), encoding="utf-8")
    if arguments.picture:
        picture(found).quantize(64).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
