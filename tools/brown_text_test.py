#!/usr/bin/env python3
"""What brown_text.py makes of tagged text."""
import unittest

import brown_text

TAGGED = """

\tThe/at jury/nn said/vbd ,/, ``/`` no/at evidence/nn ''/'' (/( really/rb )/) ./.
And/cc what/wdt now/rb ?/. ?/. It/pps cost/vbd $25/nns 1/2/cd ./.


\tA/at second/od one/nn ./.
"""


class BrownText(unittest.TestCase):
    def test_tags_go_and_punctuation_moves_to_its_word(self):
        self.assertEqual(brown_text.paragraphs(TAGGED), [
            'The jury said, "no evidence" (really). And what now? It cost $25 1/2.',
            "A second one.",
        ])

    def test_beginning_ends_at_a_paragraph(self):
        self.assertEqual(len(brown_text.beginning(TAGGED, 16)), 2)
        self.assertEqual(len(brown_text.beginning(TAGGED, 15)), 1)
        self.assertEqual(len(brown_text.beginning(TAGGED, 1)), 1)

    def test_abbreviation_at_the_end_has_one_full_stop(self):
        self.assertEqual(brown_text.join(["Ivan", "Allen", "Jr.", "."]), "Ivan Allen Jr.")

    def test_repeated_words_stay(self):
        self.assertEqual(brown_text.join(brown_text.words_of("had/hvd had/hvn ./.")), "had had.")


if __name__ == "__main__":
    unittest.main()
