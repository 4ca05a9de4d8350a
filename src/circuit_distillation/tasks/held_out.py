"""Read belief questions of other authors from the user's files, for evaluation: BigToM, ToMi and Hi-ToM.

None is for training. ToMi is CC BY-NC 4.0, BigToM MIT, Hi-ToM Apache-2.0.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

_PLACE = re.compile(r"(?:in|to) the (\w+)\.?$")
_CHOICE = re.compile(r"[A-Z]\.\s*([^,\n]+)")


@dataclass(frozen=True)
class Choice:
    """One question with its options; `answer` is the index of the right one.

    An item counts as right only where all of its group are: in BigToM the true and the false belief of a
    story, otherwise "the option named first" would count as understanding.
    """

    item_id: str
    group_id: str
    condition: str
    prompt: str
    options: tuple[str, ...]
    answer: int


def read_held_out(path: str | Path, seed: int = 0) -> list[Choice]:
    """By the form of `path`: a folder of BigToM's CSV files, ToMi's .txt, Hi-ToM's .json.

    ValueError, naming the file and the row, for what is missing or broken.
    """
    path = Path(path)
    if path.is_dir():
        return _bigtom(path, seed)
    if not path.is_file():
        raise ValueError(f"there is no file {path}: give BigToM's folder, ToMi's .txt or Hi-ToM's .json")
    return _hitom(path) if path.suffix == ".json" else _tomi(path)


def _bigtom(folder: Path, seed: int) -> list[Choice]:
    """Files `{0|1}_{kind}_{true|false}_belief.csv`: story; question; answer; distractor, without a header.

    Options stand in an order drawn for each item: the question names them in one that gives them away.
    """
    paths = sorted(folder.glob("*_belief.csv"))
    if not paths:
        raise ValueError(f"{folder} holds no file of BigToM (*_true_belief.csv, *_false_belief.csv)")
    items = []
    for path in paths:
        kind = re.sub(r"_(true|false)_belief$", "", path.stem)
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter=";"))
        for number, row in enumerate(rows):
            if len(row) != 4:
                raise ValueError(
                    f"row {number} of {path} has {len(row)} fields, not story;question;answer;distractor"
                )
            story, question, answer, distractor = (field.strip() for field in row)
            options = [answer, distractor]
            Random(f"bigtom {seed} {path.stem} {number}").shuffle(options)
            listed = "\n".join(f"- {option}" for option in options)
            prompt = f"{story}\nQuestion: {question}\nChoose one:\n{listed}\nAnswer:"
            items.append(
                Choice(
                    f"{path.stem}-{number}",
                    f"{kind}-{number}",
                    path.stem,
                    prompt,
                    tuple(options),
                    options.index(answer),
                )
            )
    return items


def _tomi(path: Path) -> list[Choice]:
    """bAbI lines; a question line holds question, answer and support between tabs. Options: its places.

    Question types come from the `.trace` file beside it, if there is one.
    """
    trace = path.with_suffix(".trace")
    kinds = [line.rsplit(",", 2)[1:] for line in trace.read_text().splitlines()] if trace.is_file() else []
    items: list[Choice] = []
    story: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        count, _, text = line.strip().partition(" ")
        if not count.isdigit():
            raise ValueError(f"line {number} of {path} does not begin with its number in the story")
        if count == "1":
            story = []
        if "\t" not in text:
            story.append(text)
            continue
        question, answer = text.split("\t")[:2]
        places = tuple(dict.fromkeys(m.group(1) for line in story if (m := _PLACE.search(line))))
        if answer not in places:
            raise ValueError(f"line {number} of {path}: the answer {answer!r} is no place of its story")
        condition = " ".join(kinds[len(items)]) if len(items) < len(kinds) else "all"
        name = f"tomi-{len(items)}"
        prompt = "\n".join([*story, f"Question: {question}", "Answer:"]).replace("_", " ")
        options = tuple(place.replace("_", " ") for place in places)
        items.append(Choice(name, name, condition, prompt, options, places.index(answer)))
    if not items:
        raise ValueError(f"{path} holds no question: ToMi's lines have one between tabs")
    return items


def _hitom(path: Path) -> list[Choice]:
    """Rows under `data`: story, question, choices ("A. place, B. place"), answer, order, deception."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["data"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not Hi-ToM's file: a JSON object with a list under data") from None
    items = []
    for number, row in enumerate(rows):
        missing = [key for key in ("story", "question", "choices", "answer") if not row.get(key)]
        if missing:
            raise ValueError(f"row {number} of {path} lacks {', '.join(missing)}")
        options = tuple(option.strip() for option in _CHOICE.findall(row["choices"]))
        if row["answer"] not in options:
            raise ValueError(f"row {number} of {path}: the answer {row['answer']!r} is not among its choices")
        condition = f"order {row.get('question_order')}" + (", deception" if row.get("deception") else "")
        prompt = f"{row['story'].strip()}\nQuestion: {row['question'].strip()}\nAnswer:"
        name = f"hitom-{number}"
        items.append(Choice(name, name, condition, prompt, options, options.index(row["answer"])))
    return items
