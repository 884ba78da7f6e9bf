#!/usr/bin/env python3
"""The JSON reader agrees with Python's json on random documents, whole and broken.

    json_against_python.py RECODER [SEED [COUNT]]

Compared are acceptance and, of what both take, every key, value and literal in its order."""
import json
import random
import subprocess
import sys

PIECES = ["a", "é", "中", "😀", '"', "\\", "\n", "\0", "/", "\x7f", "\u2028", "<", "\x1f", "a text that is somewhat longer "]
TOKENS = ["{", "}", "[", "]", ",", ":", '"', '"a"', "\\u", "1", "-", "0", ".", "e", "E+", "true", "tru", "null", "nul",
          "false", " ", "\n", "\t", "\f", "\\", "\\ud83d", "\\ude00", "\0", "'", "\\n", "g", "\\u00", "4F", "NaN", "\u00a0"]


def text(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))


def value(rng, depth=0):
    kind = rng.randrange(9 if depth < 5 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind < 3:
        return rng.choice([0, -1, 2**64 - 1, 10**30, rng.randrange(10**9), 0.5, 1e300, -2.5e-10, 1e22])
    if kind < 6:
        return text(rng)
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {text(rng): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def broken(rng, document):
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(document) + 1)
        removed = rng.choice([0, 0, 1, 3, len(document)])
        document = document[:place] + rng.choice(TOKENS + [""] * 10) + document[place + removed:]
    return document


def make(rng):
    document = json.dumps(value(rng), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    return broken(rng, document) if rng.random() < 0.6 else document


def refuse(constant):
    raise ValueError(constant)  # NaN and the infinities are Python's own


def load(document):
    return json.loads(document, object_pairs_hook=list, parse_int=str, parse_float=str, parse_constant=refuse)


def whole(loaded):
    """As the reader gives it: U+FFFD for half a pair."""
    if isinstance(loaded, str):
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in loaded)
    if isinstance(loaded, (list, tuple)):
        return [whole(part) for part in loaded]
    return loaded


def expected(document):
    try:
        return whole(load(document))
    except ValueError:
        return ValueError


def main():
    recoder, seed, count = sys.argv[1], int((sys.argv[2:3] or ["1"])[0]), int((sys.argv[3:4] or ["20000"])[0])
    rng = random.Random(seed)
    documents = [make(rng) for _ in range(count)]
    frames = b"".join(b"%08x" % len(data) + data for data in (document.encode() for document in documents))
    answers = subprocess.run([recoder], input=frames, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    assert len(answers) == count + 1, "not an answer for each document"
    taken = 0
    for document, answer in zip(documents, answers):
        word, _, result = answer.partition(" ")
        got = whole(load(result)) if word == "ok" else ValueError
        taken += word == "ok"
        if got != expected(document):
            sys.exit(f"{document!r}\n  answer:   {answer}\n  expected: {expected(document)!r}")
    assert count / 4 < taken < count * 3 / 4, f"{taken} of {count} were whole: not a test of both"
    print(f"{count} documents, {taken} of them whole")


if __name__ == "__main__":
    main()
