#!/usr/bin/env python3
"""The comparison's own arithmetic: turns, medians, ratios, targets, and the GGUF file of random weights."""
import io
import pathlib
import struct
import unittest
from unittest import mock

import dummy_gguf
import report
import rounds
import run as program
import sections
import targets
from peers import Case, Failure, Figure, LlamaCpp, Run


def runner(contestant, setting, speeds, log=None):
    """A run that gives one of `speeds` after another; None fails."""
    left = list(speeds)

    def measure():
        if log is not None:
            log.append((contestant, setting))
        speed = left.pop(0)
        if speed is None:
            raise Failure("broken")
        return {"case": Figure(speed, {"fraction_of_limit": speed / 100})}

    return Run(contestant, setting, measure)


class Turns(unittest.TestCase):
    def test_order_is_reversed_every_other_round(self):
        log = []
        rounds.take_turns([runner("a", "", [1] * 3, log), runner("b", "", [1] * 3, log)], 3)
        self.assertEqual([name for name, _ in log], ["a", "b", "b", "a", "a", "b"])

    def test_setting_far_behind_its_contestants_best_is_not_run_again(self):
        log = []
        figures, _ = rounds.take_turns([runner("peer", "slow", [84, 1000], log), runner("peer", "near", [85, 90], log),
                                           runner("peer", "best", [100, 80], log), runner("octavo", "", [1, 1], log)], 2)
        self.assertEqual([s for _, s in log], ["slow", "near", "best", "", "", "best", "near"])
        row = rounds.summary(figures)["case"]["peer"]
        self.assertEqual((row["setting"], row["median"], row["min"], row["max"]), ("best", 90, 80, 100))

    def test_one_lucky_round_does_not_make_a_setting_the_fastest(self):
        figures = {"case": {"peer": {"once": [Figure(500), None, None], "always": [Figure(1), Figure(2), Figure(3)]}}}
        self.assertEqual(rounds.summary(figures)["case"]["peer"]["setting"], "always")

    def test_failure_is_tried_again_and_kept(self):
        figures, failures = rounds.take_turns([runner("a", "x", [None, 7])], 1)
        self.assertEqual(rounds.summary(figures)["case"]["a"]["median"], 7)
        self.assertEqual([f["error"] for f in failures], ["broken"])
        figures, failures = rounds.take_turns([runner("a", "x", [None, None])], 1)
        self.assertEqual((figures, len(failures)), ({}, 2))

    def test_of_disturbed_attempts_the_least_disturbed_counts(self):
        busy = iter([0, 0, 0, 9, 9, 9, 9, 14, 14, 14, 14, 21])  # waiting and measuring, three times
        own = iter([0, 2, 2, 4, 4, 6])
        with mock.patch.multiple(rounds, busy_seconds=lambda: next(busy), child_seconds=lambda: next(own)), \
                mock.patch.object(rounds.time, "sleep"):
            figures = rounds.undisturbed(runner("a", "x", [10, 20, 30]), [], 1)
        self.assertEqual((figures["case"].tokens_per_s, figures["case"].details["others_cpu_share"]), (20, 0.6))

    def test_ratios_are_of_medians_and_spread_over_rounds(self):
        figures = {"case": {"octavo w8a8": {"": [Figure(10), Figure(30), Figure(20)]},
                            "vLLM W8A8": {"": [Figure(5), Figure(10), Figure(20)]}}}
        rows = rounds.summary(figures)["case"]
        self.assertEqual(rows["octavo w8a8"]["ratios"]["vLLM W8A8"], {"median": 2.0, "min": 1.0, "max": 3.0})
        self.assertEqual(rows["vLLM W8A8"]["ratios"], {})


class Targets(unittest.TestCase):
    @staticmethod
    def judged(details, ratio):
        row = {"details": details, "ratios": {} if ratio is None else {targets.LLAMA: {"median": ratio}}}
        found = targets.judge({"prefill": {"cases": {targets.PREFILL: {"octavo w8a8": row}}}})
        return {t["what"]: t["met"] for t in found if t["contestant"] == "octavo w8a8" and t["section"] == "prefill"}

    def test_least_and_most(self):
        met = self.judged({"fraction_of_limit": 0.55, "linear_fraction_of_peak": 0.84, "attention_share": 0.25}, 4.0)
        self.assertEqual(met, {"linear layers, of the peak": False, "of the limit": True, "against llama.cpp Q8_0": True,
                               "attention, share of the time": False})

    def test_what_was_not_measured_is_neither_met_nor_missed(self):
        self.assertEqual(set(self.judged({}, None).values()), {None})
        self.assertEqual({t["met"] for t in targets.judge({})}, {None})

    def test_every_target_names_a_section_and_a_case_that_it_measures(self):
        class Recorder:
            """Stands for octavo, the peers and the inputs: notes which cases are asked of whom."""

            def __init__(self):
                self.seen = set()

            def __getattr__(self, _):
                def note(name=None, *given, **__):
                    for cases in given:
                        for case in cases if isinstance(cases, list) else [cases]:
                            if isinstance(case, Case):
                                self.seen.add((name, case.name))
                    return []
                return note

        for target in targets.TARGETS:
            seen = Recorder()
            list(sections.SECTIONS[target.section](seen, seen, seen, seen))
            wanted = [target.contestant] + ([] if target.against in targets.WORDS else [target.against])
            for contestant in wanted:
                self.assertIn((contestant, target.case), seen.seen, target)


class Programs(unittest.TestCase):
    def test_llama_cpp_below_amx_never_repacks(self):
        case = Case("x", 1, 512)
        self.assertEqual(len(list(LlamaCpp(pathlib.Path("/"), True).one_sequence("l", "m", case))), 8)
        held = [run.setting for run in LlamaCpp(pathlib.Path("/"), False).one_sequence("l", "m", case)]
        self.assertEqual(len(held), 4)
        self.assertFalse([setting for setting in held if "repacked" in setting])

    def test_baseline_is_named_after_cpu_and_isa(self):
        path = program.baseline_path(pathlib.Path("b"), {"cpu": "Intel(R) Xeon(R) Processor @ 2.0GHz", "isa": "avx512_vnni"})
        self.assertEqual(str(path), "b/intel-xeon-processor-2-0ghz-avx512_vnni.json")

    def test_table_says_what_is_not_met(self):
        text = report.targets_text(targets.judge({"3b": {"cases": {targets.ONE: {"octavo w8a8": {
            "details": {"fraction_of_limit": 0.5}, "ratios": {}}}}}}))
        self.assertIn("0.50          NOT MET", text)
        self.assertIn("not measured", text)


class DummyGguf(unittest.TestCase):
    CONFIG = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2,
              "num_key_value_heads": 1, "vocab_size": 40, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
              "rope_theta": 1e4, "tie_word_embeddings": True}

    def test_offsets_and_size_agree_with_the_shapes(self):
        out = io.BytesIO()
        dummy_gguf.write(self.CONFIG, "tiny", out)
        data = out.getvalue()
        self.assertEqual(data[:8], b"GGUF\x03\0\0\0")
        self.assertEqual(struct.unpack_from("<QQ", data, 8)[0], 11)
        self.assertEqual(len(data) % 32, 0)
        body = sum(dummy_gguf.padded(dummy_gguf.byte_count(shape, kind)) for _, shape, kind in dummy_gguf.shapes(self.CONFIG))
        at = len(data) - body
        self.assertEqual(at % 32, 0)
        # The first tensor is the embedding; its first block begins with its scale.
        self.assertAlmostEqual(struct.unpack_from("<e", data, at)[0], 1 / (74 * 8), delta=1e-5)
        self.assertEqual(struct.unpack_from("<f", data, at + dummy_gguf.padded(40 * 2 * 34))[0], 1.0)

    def test_untied_models_have_a_head(self):
        names = [name for name, _, _ in dummy_gguf.shapes(self.CONFIG | {"tie_word_embeddings": False})]
        self.assertEqual(names[-1], "output.weight")

    def test_rows_that_are_no_blocks_are_refused(self):
        with self.assertRaisesRegex(ValueError, "48"):
            dummy_gguf.byte_count((48, 4), dummy_gguf.Q8_0)


if __name__ == "__main__":
    unittest.main()
